//! What somebody has brought and not imported yet, on the server between two pages.
//!
//! Guarantees: it belongs to one session of the browser, and goes with it, or after an hour. It holds passwords that are still to be
//! hashed, and so it is encrypted with a key that follows from the cookie of that session, which is stored nowhere: who reads the table
//! has nothing. An import begins once, however often its button is pressed. Read and written by the daemon's own role, for the table
//! is no page's; whose it is the cookie says, in every statement.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::super::administrator::{Token, random};
use super::super::resolve::Directory;
use super::sheet::Row;
use crate::db::Error;
use crate::sql;

const KEEP: &str = sql!("directory/keep_import");
const FIND: &str = sql!("directory/find_import");
const BEGIN: &str = sql!("directory/begin_import");
const TOUCH: &str = sql!("directory/touch_import");
const END: &str = sql!("directory/end_import");
const DROP: &str = sql!("directory/drop_import");

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Checked, and waiting for its button.
    Checked,
    /// On its way.
    Importing,
    /// All users are made.
    Done,
    /// None is.
    Failed,
}

/// What a session has brought.
#[derive(Debug)]
pub struct Pending {
    /// How far it is.
    pub stage: Stage,
    /// What was found when it was checked.
    pub report: Value,
    /// Passwords to be hashed.
    pub total: i32,
    /// Passwords that are.
    pub hashed: i32,
    /// What came of it.
    pub said: String,
}

impl Directory {
    /// Keeps what a session has brought, in place of what it had brought before; `false` when that is being imported just now.
    pub async fn keep_import(
        &self,
        token: &Token,
        rows: &[Row],
        report: &Value,
        passwords: i32,
    ) -> Result<bool, Error> {
        let sealed = seal(token, rows)?;
        let values: [&(dyn ToSql + Sync); 4] = [&token.hash(), &sealed, report, &passwords];
        Ok(self.control.db.execute(KEEP, &values).await? > 0)
    }

    /// What a session has brought.
    pub async fn pending_import(&self, token: &Token) -> Result<Option<Pending>, Error> {
        let row = self.control.db.query_opt(FIND, &[&token.hash()]).await?;
        Ok(row.map(|row| {
            let died: bool = row.get(5);
            let stage = match row.get::<_, &str>(0) {
                "checked" => Stage::Checked,
                "importing" if !died => Stage::Importing,
                "done" => Stage::Done,
                _ => Stage::Failed,
            };
            let said = match died {
                true => "the server was stopped while it imported: look at the list of users, and bring the file again if they are not there"
                    .to_owned(),
                false => row.get::<_, Option<String>>(4).unwrap_or_default(),
            };
            Pending { stage, report: row.get(1), total: row.get(2), hashed: row.get(3), said }
        }))
    }

    /// Begins the import; nothing where there is nothing to begin, or it has begun already.
    pub async fn begin_import(&self, token: &Token) -> Result<Option<Vec<Row>>, Error> {
        let row = self.control.db.query_opt(BEGIN, &[&token.hash()]).await?;
        row.map(|row| open(token, row.get(0))).transpose()
    }

    /// Says that it goes on, and how far.
    pub async fn touch_import(&self, token: &Token, hashed: i32) -> Result<(), Error> {
        self.control.db.execute(TOUCH, &[&token.hash(), &hashed]).await.map(drop)
    }

    /// Says what came of it, and forgets the users.
    pub async fn end_import(&self, token: &Token, done: bool, said: &str) -> Result<(), Error> {
        self.control.db.execute(END, &[&token.hash(), &done, &said]).await.map(drop)
    }

    /// Forgets what a session has brought, unless it is being imported.
    pub async fn drop_import(&self, token: &Token) -> Result<(), Error> {
        self.control.db.execute(DROP, &[&token.hash()]).await.map(drop)
    }
}

/// The key that follows from a cookie. The table has another digest of it, from which this does not follow.
fn key(token: &Token) -> Result<LessSafeKey, Error> {
    let key = digest(&SHA256, format!("import:{}", token.text()).as_bytes());
    let key = UnboundKey::new(&AES_256_GCM, key.as_ref());
    key.map(LessSafeKey::new).map_err(|_| Error::Fault("a key of 32 bytes is refused".to_owned()))
}

fn seal(token: &Token, rows: &[Row]) -> Result<Vec<u8>, Error> {
    let nonce = random::<NONCE_LEN>()?;
    let mut bytes = serde_json::to_vec(rows).map_err(|error| Error::Fault(error.to_string()))?;
    let sealed =
        key(token)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes);
    sealed.map_err(|_| Error::Fault("what is to be imported cannot be sealed".to_owned()))?;
    Ok([&nonce[..], &bytes].concat())
}

fn open(token: &Token, mut sealed: Vec<u8>) -> Result<Vec<Row>, Error> {
    let broken = || Error::Fault("what is to be imported cannot be opened".to_owned());
    if sealed.len() < NONCE_LEN {
        return Err(broken());
    }
    let mut bytes = sealed.split_off(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(&sealed).map_err(|_| broken())?;
    let text = key(token)?.open_in_place(nonce, Aad::empty(), &mut bytes).map_err(|_| broken())?;
    serde_json::from_slice(text).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_cookie_opens_it() {
        let (own, other) = (Token::read(&"a".repeat(64)).unwrap(), Token::read(&"b".repeat(64)).unwrap());
        let rows = [Row { local_part: "a".into(), password: Some("hunter22".into()), ..Row::default() }];
        let sealed = seal(&own, &rows).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("hunter22"));
        assert_ne!(sealed, seal(&own, &rows).unwrap());
        assert_eq!(open(&own, sealed.clone()).unwrap()[0].password.as_deref(), Some("hunter22"));
        assert!(open(&other, sealed.clone()).is_err());
        assert!(open(&own, sealed[..20].to_vec()).is_err() && open(&own, Vec::new()).is_err());
    }
}
