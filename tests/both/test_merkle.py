"""Merkle trees: known roots, the definition of RFC 9162 written out, inclusion proofs and their forgeries."""

from protocol import crypto, merkle
from protocol.errors import LocalError

# The leaves and roots that certificate-transparency implementations share as test data for RFC 6962 and 9162.
LEAVES = (
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
)
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def hashes(n):
    return [merkle.leaf_hash(bytes((i >> 8, i & 255))) for i in range(n)]


def defined(leaves):
    """The root as RFC 9162 §2.1.1 defines it, recursively."""
    n = len(leaves)
    if n == 0:
        return crypto.sha256(b"")
    if n == 1:
        return leaves[0]
    k = 1
    while 2 * k < n:
        k *= 2
    return crypto.sha256(b"\x01" + defined(leaves[:k]) + defined(leaves[k:]))


def test_known_roots():
    tree = merkle.Tree()
    assert tree.root().hex() == ROOTS[0]
    for i, leaf in enumerate(LEAVES):
        tree.append(leaf)
        assert tree.count == i + 1
        assert tree.root().hex() == ROOTS[i + 1]
        assert merkle.root([merkle.leaf_hash(one) for one in LEAVES[: i + 1]]).hex() == ROOTS[i + 1]
    tree.reset()
    assert tree.count == 0 and tree.root().hex() == ROOTS[0]


def test_stream_equals_definition():
    tree = merkle.Tree()
    leaves = hashes(70)
    for n in range(70):
        assert tree.root() == defined(leaves[:n]) == merkle.root(leaves[:n])
        tree.append_hash(leaves[n])


def test_a_leaf_is_not_a_node():
    left, right = hashes(2)
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
    assert merkle.node_hash(left, right) != merkle.node_hash(right, left)


def test_every_path_proves_its_leaf_and_no_other():
    for n in (1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17):
        leaves = hashes(n)
        root = merkle.root(leaves)
        for i in range(n):
            proof = merkle.path(leaves, i)
            assert merkle.verify_path(leaves[i], i, n, proof, root)
            for j in range(n):
                if j != i:
                    assert not merkle.verify_path(leaves[j], i, n, proof, root)
                    assert not merkle.verify_path(leaves[i], j, n, proof, root)


def test_forged_paths():
    n = 11
    leaves = hashes(n)
    root = merkle.root(leaves)
    for i in range(n):
        proof = merkle.path(leaves, i)
        assert not merkle.verify_path(leaves[i], i, n, proof, leaves[0])
        assert not merkle.verify_path(leaves[i], i, n, proof + [leaves[0]], root)
        for k in range(len(proof)):
            assert not merkle.verify_path(leaves[i], i, n, proof[:k], root)
            assert not merkle.verify_path(leaves[i], i, n, proof[:k] + [bytes(32)] + proof[k + 1 :], root)
        assert not merkle.verify_path(leaves[i], -1, n, proof, root)
        assert not merkle.verify_path(leaves[i], i, i, proof, root)
        assert not merkle.verify_path(leaves[i], n, n, proof, root)
    assert not merkle.verify_path(leaves[0], 0, 0, [], root)


def test_paths_outside_the_tree():
    for n, i in ((0, 0), (3, 3), (3, -1)):
        try:
            merkle.path(hashes(n), i)
            raise AssertionError("a path to leaf %d of %d" % (i, n))
        except LocalError:
            pass
