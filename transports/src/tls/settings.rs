//! From the settings of redis.conf to rustls' configurations. Files are read here, each time the settings change.

use std::{fs, io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use thiserror::Error;

use crate::tls::{
    TlsConfigs,
    verify::{AnyName, OwnAuthority},
};

/// Whether clients must show a certificate (`tls-auth-clients`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They need none.
    No,
    /// None gets in without.
    #[default]
    Yes,
    /// One that is shown must be good.
    Optional,
}

/// The `tls-` settings, by redis.conf's names; what is empty is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// `tls-cert-file`.
    pub cert_file: String,
    /// `tls-key-file`.
    pub key_file: String,
    /// `tls-key-file-pass`.
    pub key_file_pass: String,
    /// `tls-client-cert-file`.
    pub client_cert_file: String,
    /// `tls-client-key-file`.
    pub client_key_file: String,
    /// `tls-client-key-file-pass`.
    pub client_key_file_pass: String,
    /// `tls-ca-cert-file`.
    pub ca_cert_file: String,
    /// `tls-ca-cert-dir`.
    pub ca_cert_dir: String,
    /// `tls-auth-clients`.
    pub auth_clients: ClientAuth,
    /// `tls-replication`, `tls-cluster`: we dial by TLS.
    pub dials: bool,
    /// `tls-protocols`.
    pub protocols: String,
    /// `tls-ciphers`, for TLS 1.2.
    pub ciphers: String,
    /// `tls-ciphersuites`, for TLS 1.3.
    pub ciphersuites: String,
    /// `tls-prefer-server-ciphers`.
    pub prefers_own_ciphers: bool,
    /// `tls-session-caching`.
    pub session_caching: bool,
    /// `tls-session-cache-size`, sessions.
    pub session_cache_size: usize,
}

/// Why TLS cannot be had. The texts are redis-server's where it has one.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A setting is missing.
    #[error("No {0} configured!")]
    Missing(&'static str),
    /// No authority is named.
    #[error(
        "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or \
         tls-auth-clients are enabled!"
    )]
    NoAuthority,
    /// A file cannot be used.
    #[error("Failed to load {what}: {path}: {why}")]
    BadFile {
        /// Certificate, private key or CA certificate.
        what: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// `tls-protocols`.
    #[error(
        "Invalid tls-protocols specified. Use a combination of 'TLSv1.2' and 'TLSv1.3'; older ones are not supported"
    )]
    Protocols,
    /// `tls-ciphersuites`, `tls-ciphers`.
    #[error("Failed to configure ciphers: none of '{0}' is supported")]
    Ciphers(String),
    /// What rustls says of the parts together, such as a key that is not the certificate's.
    #[error("Failed to configure TLS: {0}")]
    Rustls(String),
}

impl TlsSettings {
    /// The configurations for both directions.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub fn build(&self) -> Result<TlsConfigs, TlsError> {
        if self.cert_file.is_empty() {
            return Err(TlsError::Missing("tls-cert-file"));
        }
        if self.key_file.is_empty() {
            return Err(TlsError::Missing("tls-key-file"));
        }
        let needs_authority = self.auth_clients != ClientAuth::No || self.dials;
        if needs_authority && self.ca_cert_file.is_empty() && self.ca_cert_dir.is_empty() {
            return Err(TlsError::NoAuthority);
        }
        let trusted = self.authorities()?;
        let roots = roots(&trusted)?;
        let provider = Arc::new(self.provider()?);
        Ok(TlsConfigs {
            server: Arc::new(self.server(trusted.clone(), roots.clone(), &provider)?),
            client: Arc::new(self.client(trusted, roots, &provider)?),
        })
    }

    fn server(
        &self,
        trusted: Vec<CertificateDer<'static>>,
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions()?)
            .map_err(rustls_error)?;
        let builder = if self.auth_clients == ClientAuth::No {
            builder.with_no_client_auth()
        } else {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let verifier = match self.auth_clients {
                ClientAuth::Optional => verifier.allow_unauthenticated(),
                ClientAuth::Yes | ClientAuth::No => verifier,
            };
            let inner = verifier.build().map_err(rustls_error)?;
            builder.with_client_cert_verifier(Arc::new(OwnAuthority { inner, trusted }))
        };
        let key = key(&self.key_file, &self.key_file_pass)?;
        let mut config =
            builder.with_single_cert(certificates(&self.cert_file)?, key).map_err(rustls_error)?;
        config.ignore_client_order = self.prefers_own_ciphers;
        if self.session_caching {
            config.session_storage = ServerSessionMemoryCache::new(self.session_cache_size.max(1));
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    fn client(
        &self,
        trusted: Vec<CertificateDer<'static>>,
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions()?)
            .map_err(rustls_error)?;
        if roots.is_empty() {
            // Nobody is trusted, so nobody can be dialled: `tls-replication` would have been refused.
            return Ok(builder.with_root_certificates(roots).with_no_client_auth());
        }
        let verifier = AnyName::new(trusted, roots, provider.clone()).map_err(rustls_error)?;
        let (cert, key_file, pass) = if self.client_cert_file.is_empty() {
            (&self.cert_file, &self.key_file, &self.key_file_pass)
        } else {
            (&self.client_cert_file, &self.client_key_file, &self.client_key_file_pass)
        };
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(certificates(cert)?, key(key_file, pass)?)
            .map_err(rustls_error)?;
        config.enable_sni = false;
        Ok(config)
    }

    fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let mut found = Vec::new();
        if !self.ca_cert_file.is_empty() {
            found.extend(certificates_of("CA certificate", &self.ca_cert_file)?);
        }
        if !self.ca_cert_dir.is_empty() {
            let failed = |error: io::Error| bad_file("CA certificate", &self.ca_cert_dir, &error);
            for entry in fs::read_dir(&self.ca_cert_dir).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                // What else lies there (keys, requests) is none of ours.
                let Ok(certificates) = certificates_of("CA certificate", &path.to_string_lossy()) else {
                    continue;
                };
                found.extend(certificates);
            }
        }
        Ok(found)
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        if self.protocols.trim().is_empty() {
            return Ok(vec![&TLS13, &TLS12]);
        }
        let mut versions = Vec::new();
        for word in self.protocols.split_whitespace() {
            match word.to_ascii_lowercase().as_str() {
                "tlsv1.3" => versions.push(&TLS13),
                "tlsv1.2" => versions.push(&TLS12),
                // Redis' other words: never spoken here, but a list that also names newer ones is good.
                "tlsv1" | "tlsv1.1" => {}
                _ => return Err(TlsError::Protocols),
            }
        }
        if versions.is_empty() { Err(TlsError::Protocols) } else { Ok(versions) }
    }

    fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = ring::default_provider();
        let is_tls13 = |suite: &rustls::SupportedCipherSuite| suite.tls13().is_some();
        for (names, for_tls13) in [(&self.ciphersuites, true), (&self.ciphers, false)] {
            let names = names.trim();
            if names.is_empty() {
                continue;
            }
            let wanted: Vec<&str> = names.split([':', ',', ' ']).filter(|name| !name.is_empty()).collect();
            let is_wanted = |suite: &rustls::SupportedCipherSuite| {
                is_tls13(suite) != for_tls13 || wanted.iter().any(|name| is_called(suite, name))
            };
            let is_a_list_of_names = wanted.iter().all(|name| name.contains(['-', '_']));
            let some =
                provider.cipher_suites.iter().any(|suite| is_tls13(suite) == for_tls13 && is_wanted(suite));
            if some {
                provider.cipher_suites.retain(is_wanted);
            } else if is_a_list_of_names {
                return Err(TlsError::Ciphers(names.to_owned()));
            }
            // Else it is OpenSSL's language ("HIGH:!aNULL"): all that we have is what such words ask for.
        }
        Ok(provider)
    }
}

/// Whether OpenSSL calls a suite so: TLS_AES_128_GCM_SHA256, ECDHE-RSA-AES128-GCM-SHA256.
fn is_called(suite: &rustls::SupportedCipherSuite, name: &str) -> bool {
    let ours = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
    let plain = |text: &str| {
        text.to_ascii_uppercase()
            .replace("TLS_ECDHE", "ECDHE")
            .replace("_WITH_", "_")
            .replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
            .replace(['-', '_'], "")
    };
    plain(&ours) == plain(&name.replace('-', "_"))
}

fn roots(trusted: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).map_err(rustls_error)?;
    }
    Ok(roots)
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates_of("certificate", path)
}

fn certificates_of(what: &'static str, path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read =
        CertificateDer::pem_file_iter(Path::new(path)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(bad_file(what, path, &"no certificate in it")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad_file(what, path, &error)),
    }
}

fn key(path: &str, pass: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    if path.is_empty() {
        return Err(TlsError::Missing("tls-key-file"));
    }
    if !pass.is_empty() {
        return Err(bad_file("private key", path, &"encrypted keys (tls-key-file-pass) are not supported"));
    }
    PrivateKeyDer::from_pem_file(Path::new(path)).map_err(|error| bad_file("private key", path, &error))
}

fn bad_file(what: &'static str, path: &str, why: &dyn std::fmt::Display) -> TlsError {
    TlsError::BadFile { what, path: path.to_owned(), why: why.to_string() }
}

fn rustls_error(error: impl std::fmt::Display) -> TlsError {
    TlsError::Rustls(error.to_string())
}
