//! Which database to use: `DATABASE_URL` in its two forms (URL, or keywords and values), with TLS and several hosts.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;
use crate::tls::connector::{ConnectorError, Mode, postgres_tls};

/// A database and how to reach it.
#[derive(Clone)]
pub struct Target {
    config: tokio_postgres::Config,
    connector: MakeRustlsConnect,
    mode: Option<String>,
    root: Option<PathBuf>,
}

impl Target {
    /// Reads a connection string as libpq takes it. `sslmode` knows all six values of libpq, `sslrootcert` a PEM file;
    /// several hosts and `target_session_attrs` are followed at every connect.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (rest, word, root) = take_tls_options(text);
        let mode = match word.as_deref() {
            None => Mode::Prefer,
            Some(word) => word
                .parse()
                .map_err(|e: ConnectorError| Error::Refused { message: e.to_string(), constraint: None })?,
        };
        let mut config: tokio_postgres::Config = rest.parse().map_err(|e: tokio_postgres::Error| Error::Refused {
            message: format!("the database URL cannot be read: {e}; write it as postgresql://user:password@host/database"),
            constraint: None,
        })?;
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let connector = postgres_tls(mode, root.as_deref())
            .map_err(|e| Error::Refused { message: e.to_string(), constraint: None })?;
        Ok(Self {
            mode: Some(word.unwrap_or_else(|| "prefer".to_owned())),
            root,
            ..Self::finish(config, connector)
        })
    }

    /// A database that needs no TLS: the private cluster's socket.
    pub fn local(config: tokio_postgres::Config) -> Result<Self, Error> {
        let connector = postgres_tls(Mode::Disable, None)
            .map_err(|e| Error::Refused { message: e.to_string(), constraint: None })?;
        let mut config = config;
        config.ssl_mode(SslMode::Disable);
        Ok(Self::finish(config, connector))
    }

    fn finish(mut config: tokio_postgres::Config, connector: MakeRustlsConnect) -> Self {
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        // A dead peer is noticed in half a minute, not after two hours of silence.
        config
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("mailwright");
        }
        Self { config, connector, mode: None, root: None }
    }

    /// How the daemon reaches the database.
    pub fn config(&self) -> &tokio_postgres::Config {
        &self.config
    }

    /// The environment in which programs of PostgreSQL, such as psql, reach the same database. Unlike an argument, it
    /// does not show the password to others on this host.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let config = &self.config;
        let mut found = vec![("PGSSLMODE", self.mode.clone().unwrap_or_else(|| "disable".to_owned()))];
        let hosts: Vec<String> = config.get_hosts().iter().map(host_text).collect();
        let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
        let text = |text: Option<&str>| text.map(str::to_owned).unwrap_or_default();
        let attrs = match config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite => "read-write",
            TargetSessionAttrs::ReadOnly => "read-only",
            _ => "any",
        };
        let password = config.get_password().map(|p| String::from_utf8_lossy(p).into_owned());
        found.extend([
            ("PGHOST", hosts.join(",")),
            ("PGPORT", ports.join(",")),
            ("PGUSER", text(config.get_user())),
            ("PGDATABASE", text(config.get_dbname())),
            ("PGPASSWORD", password.unwrap_or_default()),
            ("PGSSLROOTCERT", self.root.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
            ("PGTARGETSESSIONATTRS", attrs.to_owned()),
        ]);
        found.retain(|(_, value)| !value.is_empty());
        found
    }

    /// The TLS side of it.
    pub fn connector(&self) -> MakeRustlsConnect {
        self.connector.clone()
    }

    /// One connection outside the pools, driven by a task of its own until the client is dropped. The settings of the
    /// daemon's own sessions are not made: triggers for people fire.
    pub async fn connect(&self) -> Result<tokio_postgres::Client, Error> {
        let (client, connection) = self.config.connect(self.connector()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a database connection ended");
            }
        });
        Ok(client)
    }

    /// The database in words, without the password.
    pub fn describe(&self) -> String {
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host_text).collect();
        format!("database \"{}\" at {}", self.config.get_dbname().unwrap_or("(default)"), hosts.join(", "))
    }
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Takes `sslmode` and `sslrootcert` out of a connection string: tokio-postgres knows neither `verify-full` nor files.
fn take_tls_options(text: &str) -> (String, Option<String>, Option<PathBuf>) {
    let mut mode = None;
    let mut root = None;
    let mut keep = |pair: &str| match pair.split_once('=') {
        Some(("sslmode", value)) => {
            mode = Some(value.trim_matches('\'').to_owned());
            false
        }
        Some(("sslrootcert", value)) => {
            root = Some(PathBuf::from(value.trim_matches('\'').replace("%2F", "/").replace("%2f", "/")));
            false
        }
        _ => true,
    };
    let rest = if let Some((base, query)) = text.split_once('?').filter(|_| text.contains("://")) {
        let kept: Vec<&str> = query.split('&').filter(|pair| keep(pair)).collect();
        if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) }
    } else if text.contains("://") {
        text.to_owned()
    } else {
        text.split_whitespace().filter(|pair| keep(pair)).collect::<Vec<_>>().join(" ")
    };
    (rest, mode, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psql_reaches_the_same_database() {
        let text =
            "postgresql://u:p%20w@h1:5433,h2:5434/db?sslmode=verify-full&target_session_attrs=read-write";
        let found = Target::parse(text).unwrap().environment();
        for pair in [
            ("PGHOST", "h1,h2"),
            ("PGPORT", "5433,5434"),
            ("PGUSER", "u"),
            ("PGDATABASE", "db"),
            ("PGPASSWORD", "p w"),
            ("PGSSLMODE", "verify-full"),
            ("PGTARGETSESSIONATTRS", "read-write"),
        ] {
            assert!(
                found.iter().any(|(name, value)| (*name, value.as_str()) == pair),
                "{pair:?} in {found:?}"
            );
        }
        let found = Target::parse("host=/run/x user=u dbname=d").unwrap().environment();
        assert!(found.contains(&("PGHOST", "/run/x".to_owned())), "{found:?}");
    }

    #[test]
    fn tls_options_are_taken_out() {
        let (rest, mode, root) = take_tls_options(
            "postgresql://u:p@h1,h2/db?sslmode=verify-full&target_session_attrs=read-write&sslrootcert=/etc/ca.pem",
        );
        assert_eq!(rest, "postgresql://u:p@h1,h2/db?target_session_attrs=read-write");
        assert_eq!(mode.as_deref(), Some("verify-full"));
        assert_eq!(root, Some(PathBuf::from("/etc/ca.pem")));
        let (rest, mode, _) = take_tls_options("host=/run/x user=u sslmode=disable dbname=d");
        assert_eq!(rest, "host=/run/x user=u dbname=d");
        assert_eq!(mode.as_deref(), Some("disable"));
    }
}
