# pragma version 0.4.3
"""
@title Typed data
@license Apache-2.0
@notice The EIP-712 domain of a bcfl contract, and who signed what in it.
@dev Domain name "bcfl", version "1", this chain, this contract: what is signed here is worth
     nothing in another contract or on another chain. Signatures come as two words (EIP-2098):
     `r`, and `vs`, whose highest bit is v - 27 and whose other bits are s. So v is 27 or 28
     by construction; s in the upper half of the curve's order, most of which the form cannot
     hold, is refused, so that a signature exists once. `bcfl.consensus.spec.messages` says the same
     words in Python.
"""

# As above.
struct Signature:
    r: uint256
    vs: uint256


_DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_NAME: constant(bytes32) = keccak256("bcfl")
_VERSION: constant(bytes32) = keccak256("1")

_LOW_255_BITS: constant(uint256) = 2**255 - 1
_HALF_ORDER: constant(uint256) = (
    57896044618658097711785492504343953926418782139537452191302581570759080747168
)

_chain: immutable(uint256)
_separator: immutable(bytes32)


@deploy
def __init__():
    """
    @notice Computes the domain separator once.
    """
    _chain = chain.id
    _separator = self._separate()


@internal
@view
def _domain() -> bytes32:
    """
    @notice The domain separator, also after the chain has split and changed its id.
    """
    if chain.id == _chain:
        return _separator
    return self._separate()


@internal
@view
def _signer(domain: bytes32, structure: bytes32, r: uint256, vs: uint256) -> address:
    """
    @notice Recovers who signed.
    @dev Takes the domain, so that a batch asks for it once.
    @param domain What `_domain` says.
    @param structure The struct hash: keccak256 of type hash and fields.
    @param r First word of the signature.
    @param vs Second word of the signature: v - 27 in the highest bit, then s.
    @return The account whose key signed; the zero address, which nobody has, where none did.
    """
    s: uint256 = vs & _LOW_255_BITS
    if s > _HALF_ORDER:
        return empty(address)
    message: bytes32 = keccak256(concat(0x1901, domain, structure))
    return ecrecover(message, unsafe_add(vs >> 255, 27), r, s)


@internal
@view
def _separate() -> bytes32:
    return keccak256(abi_encode(_DOMAIN_TYPE, _NAME, _VERSION, chain.id, self))
