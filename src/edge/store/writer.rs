//! Adds to the record from another process, beside the daemon or without it.
//!
//! For what is learned afterwards: the service's word on old calls. The file
//! must be there and of this format; making, migrating and setting aside is
//! the daemon's alone.

use std::path::PathBuf;

use rusqlite::Connection;

use super::query::ReadError;
use super::{Config, Update, details, file, keeper};

/// The record, open to be added to.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    path: PathBuf,
}

impl Writer {
    /// Opens the record of `config`.
    ///
    /// # Errors
    /// Says what is wrong and what to do.
    pub fn open(config: &Config) -> Result<Self, ReadError> {
        let connection = file::open_to_add(config)?;
        let path = config.path.clone();
        Ok(Self { connection, path })
    }

    /// Writes all `updates`, or none. It is a short lock: the daemon waits for
    /// it, and loses nothing.
    ///
    /// # Errors
    /// Says what is wrong and what to do.
    pub fn write(&mut self, updates: &[Update]) -> Result<(), ReadError> {
        let mut write = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction()?;
            keeper::write_all(&transaction, updates)?;
            details::make_room(&transaction)?;
            transaction.commit()
        };
        write().map_err(|error| ReadError::of(&self.path, error))
    }
}
