//! What IMAP URLs lead to (RFC 5092): for CATENATE (RFC 4469), which puts messages together from them, and for URLFETCH
//! (RFC 4467), which fetches by them what somebody else has allowed.
//!
//! What must hold: without authorization a URL leads no further than the client may read by itself; with it, no further
//! than its owner may read now, and only for those whom the URL names, as long as it names, under a key that its owner
//! has not taken back.

use jiff::Timestamp;

use super::answer::Fail;
use super::cmd::fetch::answer::section_bytes;
use super::cmd::fetch::slice::Shape;
use super::place::Place;
use super::session::{Session, State};
use super::token;
use super::wire::section::SectionText;
use super::wire::url::{Access, Auth, Server, Url};
use crate::mail::{AccountId, MailboxId, Rights};
use crate::mime::part::Part;
use crate::store::Store;
use crate::store::fetch::{Facts, Want};
use crate::store::source::{Pieces, Source};

/// The one mechanism by which URLs are authorized (RFC 4467 §2.4.1).
pub(super) const INTERNAL: &str = "INTERNAL";

/// Why a URL leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("this is not the URL of a message")]
    NoUrl,
    #[error("the URL leads to another server")]
    Elsewhere,
    #[error("the URL is not for you, no longer valid, or forged")]
    Refused,
    #[error("the URL leads to a mailbox that is not there")]
    NoMailbox,
    #[error("the message is not there, or no longer")]
    NoMessage,
    #[error("the message has no such part")]
    NoPart,
}

/// A message that a URL leads to, and what of it.
pub(super) struct Cited {
    pub(super) url: Url,
    facts: Facts,
    root: Part,
}

impl Cited {
    /// What a URL leads to for this client.
    pub(super) async fn find(session: &Session, text: &str) -> Result<Result<Self, Broken>, Fail> {
        let Some(url) = Url::parse(text) else { return Ok(Err(Broken::NoUrl)) };
        let ((account, mailbox), validity) = match locate(session, &url).await? {
            Ok(found) => found,
            Err(broken) => return Ok(Err(broken)),
        };
        if url.uid_validity.is_some_and(|wanted| wanted != validity) {
            return Ok(Err(Broken::NoMailbox));
        }
        let of_header = !matches!(url.section.text, None | Some(SectionText::Text));
        let header = url.section.part.is_empty() && of_header;
        let want = Want { header, structure: true, ..Want::default() };
        let store = &session.house.store;
        let mut found = store.facts(account, mailbox, &[url.uid], want).await?;
        let Some(mut facts) = found.pop() else { return Ok(Err(Broken::NoMessage)) };
        let root = match facts.structure.take() {
            Some(structure) => std::sync::Arc::unwrap_or_clone(structure).0,
            None => Source::new(store, &facts, None).rebuilt().await?,
        };
        Ok(Ok(Cited { url, facts, root }))
    }

    /// The tree of the message's parts.
    pub(super) fn root(&self) -> &Part {
        &self.root
    }

    /// Where its parts are.
    pub(super) fn shape(&self) -> Shape<'_> {
        Shape {
            prefix: self.facts.prefix.len() as u64,
            header: self.facts.header_size,
            content: self.facts.content_size,
            root: Some(&self.root),
        }
    }

    /// The bytes of the message.
    pub(super) fn source(&self, store: &Store) -> Source<'_> {
        Source::new(store, &self.facts, None)
    }

    /// How many bytes the URL leads to, and the bytes; `None` when the message has no such part.
    pub(super) async fn bytes<'m>(
        &self,
        source: &'m mut Source<'_>,
    ) -> Result<Option<(u64, Pieces<'m>)>, Fail> {
        section_bytes(&self.shape(), source, &self.url.section, self.url.partial).await
    }
}

type Located = ((AccountId, MailboxId), u32);

/// The mailbox of a URL and its UIDVALIDITY.
async fn locate(session: &Session, url: &Url) -> Result<Result<Located, Broken>, Fail> {
    if !url.server.as_ref().is_none_or(|server| is_here(session, server)) {
        return Ok(Err(Broken::Elsewhere));
    }
    let found = match (&url.auth, &url.mailbox) {
        (Some(auth), _) => match authorized(session, url, auth).await? {
            Some(place) => Some(place),
            None => return Ok(Err(Broken::Refused)),
        },
        (None, Some(name)) => {
            if !is_own(session, url.server.as_ref()).await? {
                return Ok(Err(Broken::Refused));
            }
            session.find(name).await?
        }
        (None, None) => {
            let State::Selected(_, selected) = &session.state else { return Ok(Err(Broken::NoMailbox)) };
            return Ok(Ok(((selected.account, selected.mailbox), selected.view().uid_validity())));
        }
    };
    let found = found.filter(|place| place.rights.contains(Rights::READ));
    Ok(found
        .map(|place| ((place.account, place.mailbox.id), place.mailbox.uid_validity))
        .ok_or(Broken::NoMailbox))
}

/// Whether this is the server that a URL names: by our name, or by the one that the client has connected to under TLS.
pub(super) fn is_here(session: &Session, server: &Server) -> bool {
    let sni = session.tls.as_ref().and_then(|tls| tls.sni.as_deref());
    let names = [Some(session.config().hostname()), sni].map(|name| name.map(str::to_owned));
    names.into_iter().flatten().any(|name| name.eq_ignore_ascii_case(&server.host))
}

/// Whether a URL is about the mailboxes that this client sees, under no name or its own.
pub(super) async fn is_own(session: &Session, server: Option<&Server>) -> Result<bool, Fail> {
    match server.and_then(|server| server.user.as_deref()) {
        Some(user) => is_me(session, user).await,
        None => Ok(true),
    }
}

async fn is_me(session: &Session, user: &str) -> Result<bool, Fail> {
    let login = session.login()?;
    if login.address.eq_ignore_ascii_case(user) {
        return Ok(true);
    }
    Ok(session.house.directory.account_named(user).await? == Some(login.account))
}

/// The mailbox of an authorized URL, as its owner sees it (RFC 4467 §6, §7); `None` when it is not valid for this client.
async fn authorized(session: &Session, url: &Url, auth: &Auth) -> Result<Option<Place>, Fail> {
    let Some(proof) = auth.proof.as_ref().filter(|proof| proof.mechanism == INTERNAL) else {
        return Ok(None);
    };
    if auth.expire.is_some_and(|until| until <= Timestamp::now()) || !may_use(session, &auth.access).await? {
        return Ok(None);
    }
    let (Some(Server { user: Some(owner), .. }), Some(name)) = (&url.server, &url.mailbox) else {
        return Ok(None);
    };
    let Some(owner) = session.house.directory.account_named(owner).await? else { return Ok(None) };
    let Some(place) = session.find_for(owner, name).await? else { return Ok(None) };
    let key = session.house.store.url_key(owner, place.mailbox.id).await?;
    let valid = key.is_some_and(|key| token::verify(&key, &auth.rump, &proof.token));
    Ok(valid.then_some(place))
}

/// RFC 4467 §3: whom a URL is for.
async fn may_use(session: &Session, access: &Access) -> Result<bool, Fail> {
    match access {
        Access::User(user) => is_me(session, user).await,
        Access::Submit(_) => {
            let address = &session.login()?.address;
            Ok(session.config().imap.submission_accounts.iter().any(|a| a.eq_ignore_ascii_case(address)))
        }
        // Nobody logs in here without a name.
        Access::AuthUser | Access::Anonymous => Ok(true),
    }
}
