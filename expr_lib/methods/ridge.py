"""The linear rival of Φ: ridge regression from source and target to the deviation."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from torch import Tensor

from expr_lib.config import RunSettings
from expr_lib.models.fusion import LinearFusion
from expr_lib.points import flip_points
from expr_lib.pointset import Landmarked
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import Split

TRIPLES = 20_000
"""Training triples at most; a seeded sample of more."""
ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 6, 13))
"""Penalties that are tried."""
FOLDS = 5


def fit_ridge(faces: Landmarked, split: Split, settings: RunSettings) -> LinearFusion:
    """Solve ridge regression (scikit-learn's) on pairs of training people, mirrored ones too when
    `fusion.flips` is on, with the penalty that errs least on training people who are held out.

    raises  TooFewPeople when no two training people show two expressions in common
    """
    layout = faces.layout
    network = LinearFusion(layout.count)
    points = torch.from_numpy(np.array(faces.landmarks))
    network.measure(points[torch.from_numpy(split.train)])
    samples = split.samples(settings.seed, "pairs")
    triples = samples.draw(0, min(len(samples), TRIPLES))
    given = points[torch.from_numpy(triples)]  # (M, 3, K, 2)
    if settings.fusion.flips:
        given = torch.cat([given, flip_points(given, layout)])
        triples = np.concatenate([triples, triples])
    vectors = [network.standardise(given[:, column]) for column in (SOURCE, TARGET)]
    x = torch.cat(vectors, dim=1).double()
    y = (given[:, TRUTH] - given[:, TARGET]).flatten(1).double() / network.unit
    people = faces.table["person"].to_numpy()
    penalty = choose_penalty(x, y, people[triples[:, SOURCE]], people[triples[:, TARGET]])
    weight, bias = next(_solutions(x, y, [penalty]))
    network.weight.copy_(weight)
    network.bias.copy_(bias)
    return network


def choose_penalty(
    x: Tensor,
    y: Tensor,
    source_people: NDArray[np.object_],
    target_people: NDArray[np.object_],
) -> float:
    """The penalty of ALPHAS with the smallest mean point error on people who are held out.

    Folds are of target people; nobody held out is a source that is learnt from, and where possible
    both faces of a triple that is measured are held out.

    x        (M, 4 K) float64  standardised sources and targets
    y        (M, 2 K) float64  deviations
    returns  the middle one of ALPHAS when there are too few people to hold any out
    """
    people = np.unique(target_people)
    errors = np.zeros(len(ALPHAS))
    if len(people) < 2:
        return ALPHAS[len(ALPHAS) // 2]
    folds = GroupKFold(max(2, min(FOLDS, len(people) // 2)))
    for learn, held in folds.split(target_people, groups=target_people):
        out = np.unique(target_people[held])
        learn = learn[~np.isin(source_people[learn], out)]
        both = held[np.isin(source_people[held], out)]
        held = both if len(both) else held
        if len(learn) == 0:
            return ALPHAS[len(ALPHAS) // 2]
        solutions = _solutions(x[learn], y[learn], ALPHAS)
        for i, (weight, bias) in enumerate(solutions):
            wrong = x[held] @ weight.T + bias - y[held]
            errors[i] += wrong.unflatten(1, (-1, 2)).norm(dim=-1).mean().item()
    return ALPHAS[int(np.argmin(errors))]


def _solutions(x: Tensor, y: Tensor, penalties: Sequence[float]) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight and bias of ridge regression of y on x for each penalty."""
    mean_x, mean_y = x.mean(0), y.mean(0)
    # few rows with the same products as all of them, so that a penalty costs little
    _, triangle = torch.linalg.qr(torch.cat([x - mean_x, y - mean_y], dim=1), mode="r")
    few_x, few_y = triangle[:, : x.shape[1]], triangle[:, x.shape[1] :]
    for alpha in penalties:
        solved = Ridge(alpha, fit_intercept=False).fit(few_x.numpy(), few_y.numpy())
        weight = torch.from_numpy(solved.coef_)
        yield weight, mean_y - weight @ mean_x
