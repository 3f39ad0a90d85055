//! The certificate of proxies with TLS.

use std::path::Path;

use tunnel_balancer_tests::client::HOST;

use crate::Result;
use crate::peers::write;

/// Writes `cert.pem`, `key.pem` and `both.pem` into a directory.
pub(crate) fn write_pair(directory: &Path) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed([HOST.to_owned()]).map_err(|error| error.to_string())?;
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    write(&directory.join("cert.pem"), &certificate)?;
    write(&directory.join("key.pem"), &key)?;
    write(&directory.join("both.pem"), certificate + &key)
}
