//! Whether the service will trust the device's own certificate, and how long.
//!
//! For `callbox doctor`, in ingress mode `tls`. The judge is the one that also
//! sits in the service's libraries: chain, names and period, as WebPKI has it.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};

use super::clock::Stamp;

/// Later than any certificate is valid: the judge then says when this one ends.
const FAR: Duration = Duration::from_secs(200 * 366 * 24 * 3600);

/// Why a certificate will not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its time is over.
    #[error("it expired on {}", day(*.0))]
    Expired(Stamp),
    /// Its time has not come: the clock is wrong more often than the certificate.
    #[error("it is valid from {} on", day(*.0))]
    NotYet(Stamp),
    /// It was made for other names.
    #[error("it is not for {host} but for {}", .names.join(", "))]
    OtherName {
        /// The host of the public URL.
        host: String,
        /// The names it is for.
        names: Vec<String>,
    },
    /// Nobody whom the public trusts has signed it.
    #[error("no known authority has signed it")]
    Unsigned,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// The day of a moment, for a person.
#[must_use]
pub fn day(stamp: Stamp) -> String {
    stamp.to_string().chars().take(10).collect()
}

/// Judges `chain`, the device's own certificate first, as a client that dials
/// `host` does at `now`. Gives the moment until which it is valid.
///
/// # Errors
/// The first reason against it.
pub fn judge(
    chain: &[CertificateDer<'static>],
    host: &str,
    authorities: RootCertStore,
    now: Stamp,
) -> Result<Stamp, Unfit> {
    let other = |what: &dyn std::fmt::Display| Unfit::Other(what.to_string());
    let Some((own, others)) = chain.split_first() else {
        return Err(other(&"the file holds no certificate"));
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|e| other(&e))?;
    let provider = Arc::new(default_provider());
    let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider)
        .build()
        .map_err(|e| other(&e))?;
    let at = |time| {
        let verdict = judge.verify_server_cert(own, others, &name, &[], time);
        verdict.map_err(|error| match error {
            rustls::Error::InvalidCertificate(why) => unfit(why, host),
            error => other(&error),
        })
    };
    let seconds = u64::try_from(now.unix_ms() / 1000).unwrap_or(0);
    at(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))?;
    match at(UnixTime::since_unix_epoch(FAR)) {
        Err(Unfit::Expired(until)) => Ok(until),
        Err(unfit) => Err(unfit),
        Ok(_) => Ok(now.plus(FAR)),
    }
}

fn unfit(why: CertificateError, host: &str) -> Unfit {
    let stamp = |time: UnixTime| {
        let ms = time.as_secs().saturating_mul(1000);
        Stamp::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX))
    };
    match why {
        CertificateError::ExpiredContext { not_after, .. } => Unfit::Expired(stamp(not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => Unfit::NotYet(stamp(not_before)),
        CertificateError::NotValidForNameContext { presented, .. } => Unfit::OtherName {
            host: host.to_owned(),
            names: presented,
        },
        CertificateError::UnknownIssuer => Unfit::Unsigned,
        why => Unfit::Other(why.to_string()),
    }
}
