"""Why a POST to a tenant's webhook failed; the word is stored with each attempt.

Faults of the URL itself are in `mailroom.domain.delivery.webhook_targets.TargetFault`.
"""

from mailroom.domain.reasons import ReasonWord

_SERVER = "look at the webhook's server and the network before it; the POST is tried again"
_REPORT = "see the HTTP service's log and report the fault; the POST is tried again"


class PostFault(ReasonWord):
    """Why a POST failed."""

    STATUS = (
        "status",
        "the server answered with a status other than 2xx",
        "have the server answer 2xx; the POST is tried again",
    )
    ASKED_TO_WAIT = (
        "asked_to_wait",
        "the server answered that it cannot take it now",
        _SERVER,
        "the webhook asks to come again",
    )
    NO_ADDRESS = (
        "no_address",
        "the host of the URL has no address",
        "check the name in the URL and its DNS records; the POST is tried again",
        "the webhook's name has no address",
    )
    CONNECT_TIMEOUT = ("connect_timeout", "the server did not accept a connection in time", _SERVER, "ConnectTimeout")
    READ_TIMEOUT = ("read_timeout", "the server did not answer in time", "answer first and work later; the POST is tried again", "ReadTimeout")  # fmt: skip
    WRITE_TIMEOUT = ("write_timeout", "the server did not read the body in time", _SERVER, "WriteTimeout")
    POOL_TIMEOUT = ("pool_timeout", "no connection of this installation was free in time", _REPORT, "PoolTimeout")
    CONNECT_ERROR = (
        "connect_error",
        "no connection was made: refused, unreachable, or the certificate does not hold",
        _SERVER,
        "ConnectError",
    )
    READ_ERROR = ("read_error", "the connection broke off before the answer", _SERVER, "ReadError")
    WRITE_ERROR = ("write_error", "the connection broke off before all was sent", _SERVER, "WriteError")
    CLOSE_ERROR = ("close_error", "the connection could not be closed", _SERVER, "CloseError")
    REMOTE_PROTOCOL_ERROR = ("remote_protocol_error", "the server's answer is not HTTP", _SERVER, "RemoteProtocolError")
    LOCAL_PROTOCOL_ERROR = (
        "local_protocol_error",
        "the POST could not be written as HTTP",
        _REPORT,
        "LocalProtocolError",
    )
    PROXY_ERROR = ("proxy_error", "a proxy on the way refused it", _SERVER, "ProxyError")
    UNSUPPORTED_PROTOCOL = ("unsupported_protocol", "the URL is not one of HTTP", _REPORT, "UnsupportedProtocol")
    DECODING_ERROR = ("decoding_error", "the server's answer could not be decoded", _SERVER, "DecodingError")
    TOO_MANY_REDIRECTS = ("too_many_redirects", "the server redirects too often", _SERVER, "TooManyRedirects")

    @classmethod
    def of_attempt(cls, stored: str | None) -> dict[str, str | None]:
        """Return the JSON fields of an attempt's fault: both words, the sentence, and what to do."""
        known = cls.read(stored)
        return {"fault": cls.old_word(stored), "fault_code": known.value if known else stored, **cls.advise(stored)}
