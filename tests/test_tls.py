import ssl

import pytest

from chamaleonet.errors import UserError
from chamaleonet.tls import client_context, server_context
from tests.certificates import make_authority, make_certificate, needs_openssl

pytestmark = needs_openssl
CONTEXTS = [server_context, client_context]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    return make_certificate(directory, "one", make_authority(directory, "ca"))


@pytest.mark.parametrize("context", CONTEXTS)
def test_both_ends_must_show_a_certificate_and_old_versions_are_not_spoken(context, files):
    made = context(files)
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o601])
def test_a_key_that_others_may_read_is_refused(files, context, mode):
    try:
        files.key.chmod(mode)
        with pytest.raises(UserError, match=rf"one\.key: has mode {mode:04o}, not 0600 \(chmod"):
            context(files)
    finally:
        files.key.chmod(0o600)
    assert context(files)
