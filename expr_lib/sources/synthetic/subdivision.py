"""Smoothing a mesh of quads: one step of Catmull and Clark (1978) as a sparse matrix."""

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array, vstack

from expr_lib.sources.synthetic.canonical import Array


def subdivide(quads: Array, count: int) -> tuple[csr_array, Array]:
    """Split each quad into four and smooth; open borders keep to their own curve.

    quads    (F, 4) vertices; `count` how many vertices there are
    returns  (count + E + F, count) matrix from old points to new ones (the old vertices come
             first, then the E edges', then the quads'), and the (4 F, 4) new quads
    """
    faces = len(quads)
    ends = np.sort(np.stack([quads.ravel(), np.roll(quads, -1, 1).ravel()], 1), 1)
    edges, edge_of, shared = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    edge_of = edge_of.reshape(quads.shape)
    each_face = np.repeat(np.arange(faces), 4)

    centres = _matrix(each_face, quads.ravel(), (faces, count)) / 4
    middles = _matrix(np.repeat(np.arange(len(edges)), 2), edges.ravel(), (len(edges), count)) / 2
    beside = _matrix(edge_of.ravel(), each_face, (len(edges), faces)) / 2
    inner = (shared == 2).astype(float)
    edge_points = _scaled(inner / 2, middles + beside @ centres) + _scaled(1 - inner, middles)

    valence = np.maximum(np.bincount(edges.ravel(), minlength=count), 1)
    touching = np.maximum(np.bincount(quads.ravel(), minlength=count), 1)
    near_faces = _matrix(quads.ravel(), each_face, (count, faces)) @ centres
    near_edges = (2 * middles).T @ middles
    itself = np.arange(count)
    own = _matrix(itself, itself, (count, count))
    smooth = _scaled(1 / (valence * touching), near_faces)
    smooth = smooth + _scaled(2 / valence**2, near_edges) + _scaled((valence - 3) / valence, own)

    border = edges[shared != 2]
    both_ways = np.concatenate([border, border[:, ::-1]])
    along = _matrix(both_ways[:, 0], both_ways[:, 1], (count, count)) / 8
    along = along + _scaled(1 - along.sum(1), own)
    inside = np.ones(count)
    inside[border.ravel()] = 0
    vertex_points = _scaled(inside, smooth) + _scaled(1 - inside, along)

    after = count + edge_of
    centre = np.broadcast_to((count + len(edges) + np.arange(faces))[:, None], quads.shape)
    split = np.stack([quads, after, centre, np.roll(after, 1, 1)], -1).reshape(-1, 4)
    return csr_array(vstack([vertex_points, edge_points, centres])), split


def _matrix(rows: Array, columns: Array, shape: tuple[int, int]) -> csr_array:
    return csr_array(coo_array((np.ones(len(rows)), (rows, columns)), shape=shape))


def _scaled(factors: Array, matrix: csr_array) -> csr_array:
    """Each row of a matrix times its factor."""
    return csr_array(diags_array(np.asarray(factors, float)) @ matrix)
