"""Posts of SNS, signed as SNS signs them, with a key and a certificate of the tests."""

import base64
import json
from datetime import timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from mailroom.delivery.provider_events.sns import signed_text
from mailroom.testing.api import NOW


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    made = made.public_key(key().public_key())
    made = made.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    return made.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sns_post(topic: str, message: str, **changes: Any) -> bytes:
    """Return what SNS posts when this was published to a topic; `changes` are fields of the post."""
    post = {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": topic,
        "Message": message,
        "Timestamp": NOW.isoformat(),
        "SignatureVersion": "2",
        "SigningCertURL": f"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{'ab' * 16}.pem",
    } | changes
    signature = key().sign(signed_text(post), padding.PKCS1v15(), hashes.SHA256())
    return json.dumps(post | {"Signature": base64.b64encode(signature).decode()}).encode()
