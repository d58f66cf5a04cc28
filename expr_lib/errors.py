"""A user's mistakes and a machine's failures, each one sentence: what was wrong, where, and what
to do."""


class ExprLibError(Exception):
    """Base of every error that the command line prints as one line, without a traceback (exit code
    2)."""

    exit_code = 2


class UnreadablePhoto(ExprLibError):
    """A file that is missing, empty, truncated or no photo at all."""


class BrokenMark(ExprLibError):
    """A picture whose file says something about its origin that cannot be read."""


class NoFaceFound(ExprLibError):
    """A photo in which the detector finds no face, or not the face that was asked for."""


class ModelFileMissing(ExprLibError):
    """A model file, dlib's or the head mesh's, that is at no place looked at, or is damaged."""


class DlibMissing(ExprLibError):
    """A machine without dlib, which finds the faces."""


class SourceError(ExprLibError):
    """A data source whose folder is missing or does not hold what its layout promises."""


class TooFewPeople(ExprLibError):
    """A set with too few people to keep some of them unseen."""


class LeakySplit(ExprLibError):
    """A person, or a picture, to learn from who is to be measured on too."""


class BrokenFaceSet(ExprLibError):
    """A folder that is no FaceSet, or only half of one."""


class UnknownPreset(ExprLibError):
    """A preset that does not exist."""


class BadSetting(ExprLibError):
    """A setting with an unknown name or an impossible value."""


class BrokenCheckpoint(ExprLibError):
    """A checkpoint that is missing, damaged or made for another network."""


class OutputExists(ExprLibError):
    """A folder that holds finished work of other settings, which nobody asked to replace."""


class NotebooksMissing(ExprLibError):
    """The packages that run notebooks are not installed."""


class DistributedMissing(ExprLibError):
    """The package that reaches a Dask cluster is not installed."""


class RunBusy(ExprLibError):
    """A run folder in which another process is at work."""


class OutputFailed(ExprLibError):
    """A file that could not be written: full disk, no permission."""

    exit_code = 1


def in_one_line(error: Exception) -> str:
    """What an error says, for a table or a note; with the name of its class where it is none of
    ours."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ExprLibError) else f"{type(error).__name__}: {text}"
