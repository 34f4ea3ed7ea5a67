//! The device's own certificate, read again when its files change.
//!
//! Certificates of today live for weeks, and whatever renews them knows
//! nothing of callbox: it only replaces two files. So the files' stamps are
//! looked at for every connection that is accepted. New files that cannot be
//! used are reported once, and the old certificate stays: a renewal caught
//! half-way must not cost a call.
//!
//! Thread: control runtime; two `stat` calls per connection.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::NoServerSessionStorage;

/// Where the certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate and its chain, PEM, the device's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or not readable.
    #[error("cannot read {path}: {source}; give the user callbox runs as the right to read it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {what} in PEM form: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The two do not fit together, or the key is of a kind we do not take.
    #[error(
        "{certificate} and {key} cannot be used together: {source}; the key must be the one the \
         certificate was made for"
    )]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// What tells one state of the two files from the next.
type Stamp = [(u64, u64, i64, i64); 2];

/// The certificate in use.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Files,
    stamp: Stamp,
    config: Arc<ServerConfig>,
}

impl Certificate {
    pub(super) fn load(files: Files) -> Result<Self, TlsError> {
        let stamp = stamp(&files)?;
        let config = read(&files)?;
        Ok(Self {
            files,
            stamp,
            config,
        })
    }

    /// The newest usable certificate.
    pub(super) fn current(&mut self) -> Arc<ServerConfig> {
        // Between two files' replacement one may be missing: come again.
        if let Ok(stamp) = stamp(&self.files)
            && stamp != self.stamp
        {
            self.stamp = stamp;
            match read(&self.files) {
                Ok(config) => {
                    self.config = config;
                    let file = self.files.certificate.display();
                    tracing::info!(%file, "new certificate in use");
                }
                Err(error) => tracing::warn!(%error, "new certificate refused, the old one stays"),
            }
        }
        Arc::clone(&self.config)
    }
}

/// The certificate and its chain, once it is sure that they and the key fit
/// together: for `callbox doctor`.
///
/// # Errors
/// What [`Ingress::bind`](super::Ingress::bind) would say.
pub fn chain(files: &Files) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    read(files)?;
    read_chain(files)
}

fn stamp(files: &Files) -> Result<Stamp, TlsError> {
    let of = |path: &Path| match fs::metadata(path) {
        Ok(file) => Ok((file.ino(), file.size(), file.mtime(), file.mtime_nsec())),
        Err(source) => Err(TlsError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    };
    Ok([of(&files.certificate)?, of(&files.key)?])
}

fn read_chain(files: &Files) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    pem_of(&files.certificate, "certificate", |text| {
        CertificateDer::pem_slice_iter(text).collect()
    })
}

fn read(files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read_chain(files)?;
    let key = pem_of(&files.key, "private key", PrivateKeyDer::from_pem_slice)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|c| c.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|source| TlsError::Unusable {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A call connects once or twice: nothing is gained by resuming.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn pem_of<T>(
    path: &Path,
    what: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<T, pem::Error>,
) -> Result<T, TlsError> {
    let text = fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|source| TlsError::Malformed {
        path: path.to_owned(),
        what,
        source,
    })
}
