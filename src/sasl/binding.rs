//! Channel bindings (RFC 5056): what ties a login to the TLS connection it runs in.

/// What a connection can be bound to. Empty on a connection without TLS, and where the operator does not want
/// SCRAM-SHA-256-PLUS; whether it is empty decides whether PLUS was announced, and so what counts as a
/// downgrade.
///
/// `tls-unique` is left out: TLS 1.3 has none, and in TLS 1.2 it broke (RFC 9266 §1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// RFC 9266 §2: 32 bytes exported under the label `EXPORTER-Channel-Binding` with an empty context. On
    /// TLS 1.2 only where the extended master secret was negotiated (RFC 9266 §4.2).
    pub tls_exporter: Option<[u8; 32]>,
    /// RFC 5929 §4: the digest of the server's own certificate, with the hash of its signature algorithm, and
    /// SHA-256 in place of MD5 and SHA-1.
    pub tls_server_end_point: Option<Vec<u8>>,
}

impl Binding {
    /// No binding: no TLS, or no PLUS wanted.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether there is nothing to bind to.
    pub fn is_none(&self) -> bool {
        self.tls_exporter.is_none() && self.tls_server_end_point.is_none()
    }

    /// The data of the binding type that a client names, if this connection has it.
    pub(super) fn named(&self, name: &str) -> Option<&[u8]> {
        match name {
            "tls-exporter" => self.tls_exporter.as_ref().map(<[u8; 32]>::as_slice),
            "tls-server-end-point" => self.tls_server_end_point.as_deref(),
            _ => None,
        }
    }
}
