"""The changes that change nothing, with the reasons: by place and change, as the table shows them.

One that is not found in the code any more fails the run, and so does one that a test notices.
"""

from __future__ import annotations

_LABEL = (
    "each field has its length before it, so that the keys of one field and of two are never equal: a label to read"
)
_BOUNDED = "whoever asks for the number next refuses one as long as this: said sooner"
_KNOWN = "whoever has got here has had the metadata, which are never forgotten: for the type checker"
_SPELLING = "what is not base64url is not equal to its own decoding encoded again, which is looked at next: said sooner"

EQUIVALENT: dict[tuple[str, str], str] = {
    ("_token.decode_segment", "_SEGMENT.fullmatch -> match"): _SPELLING,
    ("_token.decode_segment", "_SEGMENT.fullmatch -> search"): _SPELLING,
    ("_keys._CURVES", "'EdDSA' -> removed"): (
        "PyJWT has no other curves for such keys than these two, and makes no key of another: left out all the same"
    ),
    ("_claims.partition_of", "key_of('assertion', token) -> without 'assertion'"): _LABEL,
    (
        "_claims.partition_of",
        "key_of('session', _ENCODER.encode([claims.get(name) for name in _PARTITION_CLAIMS])) -> without 'session'",
    ): _LABEL,
    ("_validation.TokenValidator.validate_flow", "metadata -> False"): _KNOWN,
    ("_validation.TokenValidator.validate_flow", "metadata -> False (2)"): _KNOWN,
    ("_metadata.Issuer._first_fetch_flow", "self._failure is not None -> True"): (
        "before the first keys, only a failure makes the next fetch wait: for the type checker"
    ),
    ("_metadata.Issuer.key_flow", "metadata -> False"): _KNOWN,
    ("_runtime.Runtime.published", "resource is None -> False"): (
        "without a resource its path is None, which no request has: for the type checker"
    ),
    ("_auth._client", "make(trust_env=False) -> removed"): (
        "the HTTP library looks at the environment's proxies only where it makes the transport itself"
    ),
    ("_sources.ClientSource.token_flow", "claims -> True"): "without claims there is no refused token either",
    (
        "_sources.ForeignSource.of",
        (
            "key_of('foreign', str(id(credential)), *sorted(wanted), 'cae' if enable_cae else 'no cae')"
            " -> without 'foreign'"
        ),
    ): "the keys of the application's own tokens begin with a URL, which no number is: a label to read",
    (
        "_token_answer._expires_on",
        "0 < seconds < _LONGEST_LIFE -> <=",
    ): "a life of no seconds is over at once either way",
    ("_token_answer._number", "len(value) < 16 -> True"): _BOUNDED,
    ("_token_answer._number", "len(value) < 16 -> <="): _BOUNDED,
    ("_token_answer._number", "abs(value) < 1000000000000000.0 -> <="): _BOUNDED,
    ("_credential.TokenEngine._raise_if_refused", "refusal.error is not None -> True"): (
        "what is kept without an error is kept under the entry's own key, and no asker's: for the type checker"
    ),
    ("_on_behalf_of._OnBehalfOf.__init__", "key_of('assertion', token) -> without 'assertion'"): _LABEL,
    ("_on_behalf_of._OnBehalfOf._query", "self._tenant_id is not None -> True"): (
        "an option that is None says the same as none"
    ),
}
