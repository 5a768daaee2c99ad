"""A certificate that the servers and clients of one user share, and expect of each other."""

import socket
import ssl
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

# No clock, however wrong, is outside of these; the last is RFC 5280's "no expiration date".
FIRST = datetime(2000, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
PROBE_S = 5


def self_signed(address: str) -> str:
    """Return a new private key and its self-signed certificate in PEM.

    Args:
        address: The IP address of the server; clients expect it in the certificate.

    Raises: ImportError without the package cryptography.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "job")])
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    draft = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST)
        .not_valid_after(LAST)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(hosts, critical=False)
    )
    certificate = draft.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (private + certificate).decode()


def client_context(path: Path) -> ssl.SSLContext:
    """Return a TLS context that shows the certificate in a file and expects it of the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(path)
    context.load_cert_chain(path)
    return context


def requires_certificate(address: str, port: int) -> bool | None:
    """Return whether a server refuses clients without a certificate; None if it does not answer."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    stranger.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        with (
            socket.create_connection((address, port), PROBE_S) as tcp,
            stranger.wrap_socket(tcp) as tls,
        ):
            tls.recv(1)
    except ssl.SSLEOFError:
        return None
    except ssl.SSLError as exc:
        return exc.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    except OSError:
        return None
    return False
