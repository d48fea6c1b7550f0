//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §4.1).
//!
//! Every account is one quota root, `user/` and its address, which governs all of its mailboxes.

use bytes::BufMut;

use crate::directory::quota::{Limits, Quota, Used};
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::mail::AccountId;
use crate::net::out::Out;

/// What a quota root's name begins with.
const PREFIX: &str = "user/";

/// RFC 9208 §5.1: the unit of STORAGE, octets.
const STORAGE_UNIT: u64 = 1024;

/// `GETQUOTA root`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetQuota {
    /// The quota root.
    pub root: String,
}

/// `GETQUOTAROOT mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetQuotaRoot {
    /// The mailbox; it need not be there.
    pub mailbox: MailboxName,
}

/// `SETQUOTA root (resource limit …)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetQuota {
    /// The quota root.
    pub root: String,
    /// Resources, in capitals, and their limits.
    pub limits: Vec<(String, u64)>,
}

impl GetQuota {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        Ok(GetQuota { root: parser.text()? })
    }

    /// Shows the quota of one's own account, or of another that one manages.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let root = Root::find(session, &self.root).await?;
        let quota = quota(session, root.account).await?;
        write(&quota, out);
        Ok(Done::ok("done"))
    }
}

impl GetQuotaRoot {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        Ok(GetQuotaRoot { mailbox: parser.mailbox()? })
    }

    /// Shows which quota governs a mailbox, or would if it were made.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let owner = match session.find(&self.mailbox).await? {
            Some(place) => place.account,
            None => session.login()?.account,
        };
        let (quota, coding) = (quota(session, owner).await?, session.coding());
        let mut buffer = out.buffer();
        let mut line = Line::untagged(&mut buffer);
        line.raw("QUOTAROOT ").mailbox(self.mailbox.as_str(), coding).raw(" ");
        line.string(name(&quota).as_bytes());
        drop(line);
        write(&quota, out);
        Ok(Done::ok("done"))
    }
}

impl SetQuota {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let root = parser.text()?;
        parser.space()?;
        let limits = parser.list_of(|parser| {
            let resource = String::from_utf8_lossy(parser.atom()?).to_ascii_uppercase();
            parser.space()?;
            Ok((resource, parser.number64()?))
        })?;
        Ok(SetQuota { root, limits })
    }

    /// Gives an account of the domain that one manages limits of its own. A resource that is not named has the limit that
    /// the domain says.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let root = Root::find(session, &self.root).await?;
        if root.power == Power::See {
            return Err(Fail::no(Code::NoPerm, "quotas are set by those who manage the domain"));
        }
        let limits = self.limits()?;
        let (actor, peer) = (session.login()?.address.clone(), session.handle.peer().ip().to_string());
        session.house.directory.set_quota(root.account, limits, (&actor, &peer)).await?;
        let quota = quota(session, root.account).await?;
        write(&quota, out);
        Ok(Done::ok("quota set"))
    }

    fn limits(&self) -> Result<Limits, Fail> {
        let mut limits = Limits::default();
        let out_of_range = || Fail::no(Code::Cannot, "a limit is out of range");
        for (resource, limit) in &self.limits {
            // 0 stands for no limit at all where these are kept.
            if *limit == 0 {
                return Err(Fail::no(Code::Cannot, "a limit of 0 cannot be set"));
            }
            match resource.as_str() {
                "STORAGE" => {
                    let bytes = limit.checked_mul(STORAGE_UNIT).and_then(|bytes| i64::try_from(bytes).ok());
                    limits.bytes = Some(bytes.ok_or_else(out_of_range)?);
                }
                "MESSAGE" => limits.messages = Some(i64::try_from(*limit).map_err(|_| out_of_range())?),
                "MAILBOX" => limits.mailboxes = Some(i32::try_from(*limit).map_err(|_| out_of_range())?),
                _ => return Err(Fail::no(Code::Cannot, "there are limits for STORAGE, MESSAGE and MAILBOX")),
            }
        }
        Ok(limits)
    }
}

/// What somebody may do with a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    See,
    Set,
}

/// A quota root that somebody has named and may see.
struct Root {
    account: AccountId,
    power: Power,
}

impl Root {
    /// Finds it; one that may not be seen is not there.
    async fn find(session: &Session, name: &str) -> Result<Self, Fail> {
        let login = session.login()?;
        let found = match name.strip_prefix(PREFIX) {
            Some(address) => {
                session.house.directory.find_quota(login.account, &address.to_lowercase()).await?
            }
            None => None,
        };
        let (account, may_set) =
            found.ok_or_else(|| Fail::no(Code::NonExistent, "there is no quota root of that name"))?;
        Ok(Root { account, power: if may_set { Power::Set } else { Power::See } })
    }
}

async fn quota(session: &Session, account: AccountId) -> Result<Quota, Fail> {
    let quota = session.house.directory.quota(account).await?;
    quota.ok_or_else(|| Fail::no(Code::NonExistent, "there is no quota root of that name"))
}

fn name(quota: &Quota) -> String {
    format!("{PREFIX}{}", quota.address)
}

/// `* QUOTA root (resource usage limit …)`: the resources that have a limit.
fn write(quota: &Quota, out: &mut Out<'_>) {
    let mut buffer = out.buffer();
    let mut line = Line::untagged(&mut buffer);
    line.raw("QUOTA ").string(name(quota).as_bytes()).raw(" ");
    let storage = Used {
        used: quota.bytes.used.div_ceil(STORAGE_UNIT),
        limit: quota.bytes.limit.map(|limit| limit / STORAGE_UNIT),
    };
    let resources = [("STORAGE", storage), ("MESSAGE", quota.messages), ("MAILBOX", quota.mailboxes)];
    let limited = resources.into_iter().filter_map(|(name, used)| Some((name, used.used, used.limit?)));
    line.list(limited, resource);
}

fn resource<B: BufMut>(line: &mut Line<'_, B>, (name, used, limit): (&'static str, u64, u64)) {
    line.raw(name).raw(" ").number(used).raw(" ").number(limit);
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in [
            "GETQUOTA",
            "GETQUOTA ",
            "GETQUOTA a b",
            "GETQUOTAROOT",
            "GETQUOTAROOT a b",
            "SETQUOTA a",
            "SETQUOTA a STORAGE 1",
            "SETQUOTA a (STORAGE)",
            "SETQUOTA a (STORAGE -1)",
            "SETQUOTA a (STORAGE 1 MESSAGE)",
            "SETQUOTA a (STORAGE 9223372036854775808)",
        ] {
            refusal(input);
        }
        assert_eq!(command("GETQUOTA \"\""), Command::GetQuota(GetQuota { root: String::new() }));
        assert_eq!(
            command("getquotaroot inbox"),
            Command::GetQuotaRoot(GetQuotaRoot { mailbox: MailboxName::new("INBOX").unwrap() })
        );
        let set = |limits: &[(&str, u64)]| {
            let limits = limits.iter().map(|(name, limit)| (name.to_string(), *limit)).collect();
            Command::SetQuota(SetQuota { root: "user/a@b.c".into(), limits })
        };
        assert_eq!(command("SETQUOTA user/a@b.c ()"), set(&[]));
        assert_eq!(
            command("SETQUOTA \"user/a@b.c\" (storage 512 MESSAGE 3)"),
            set(&[("STORAGE", 512), ("MESSAGE", 3)])
        );
    }

    #[test]
    fn limits_to_keep() {
        let limits = |list: &[(&str, u64)]| {
            let limits = list.iter().map(|(name, limit)| (name.to_string(), *limit)).collect();
            SetQuota { root: String::new(), limits }.limits().ok()
        };
        assert_eq!(limits(&[]), Some(Limits::default()));
        let expected = Limits { bytes: Some(2048), messages: Some(5), mailboxes: Some(10) };
        assert_eq!(limits(&[("MESSAGE", 5), ("MAILBOX", 10), ("STORAGE", 2)]), Some(expected));
        for refused in [("STORAGE", 0), ("STORAGE", 1 << 54), ("MAILBOX", 1 << 40), ("ANNOTATION-STORAGE", 1)]
        {
            assert_eq!(limits(&[refused]), None, "{refused:?}");
        }
    }

    #[test]
    fn only_what_is_limited_is_shown() {
        let mut quota = Quota { address: "a@b.c".into(), ..Quota::default() };
        let shown = |quota: &Quota| {
            let mut buffer = BytesMut::new();
            write(quota, &mut Out::memory(&mut buffer));
            String::from_utf8(buffer.to_vec()).unwrap()
        };
        assert_eq!(shown(&quota), "* QUOTA \"user/a@b.c\" ()\r\n");
        quota.bytes = Used { used: 10_241, limit: Some(512 * 1024) };
        quota.mailboxes = Used { used: 6, limit: Some(10) };
        assert_eq!(shown(&quota), "* QUOTA \"user/a@b.c\" (STORAGE 11 512 MAILBOX 6 10)\r\n");
    }
}
