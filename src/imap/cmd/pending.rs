//! Commands whose doing is still to come.
#![allow(clippy::unused_async, dead_code, missing_docs)]
use super::super::answer::{Fail, Outcome};
use super::super::session::Session;
use crate::net::out::Out;
impl super::list::List {
    pub async fn run(self, _: &mut Session, _: &mut Out<'_>) -> Outcome {
        Err(Fail::No(None, "to come".into()))
    }
}
impl super::lsub::Lsub {
    pub async fn run(self, _: &mut Session, _: &mut Out<'_>) -> Outcome {
        Err(Fail::No(None, "to come".into()))
    }
}
impl super::status::Status {
    pub async fn run(self, _: &mut Session, _: &mut Out<'_>) -> Outcome {
        Err(Fail::No(None, "to come".into()))
    }
}
impl super::create::Create {
    pub async fn run(self, _: &mut Session) -> Outcome {
        Err(Fail::No(None, "to come".into()))
    }
}
impl super::delete::Delete {
    pub async fn run(self, _: &mut Session) -> Outcome {
        Err(Fail::No(None, "to come".into()))
    }
}
impl super::rename::Rename {
    pub async fn run(self, _: &mut Session) -> Outcome {
        Err(Fail::No(None, "to come".into()))
    }
}
impl super::subscribe::Subscribe {
    pub async fn run(self, _: &mut Session) -> Outcome {
        Err(Fail::No(None, "to come".into()))
    }
}
impl super::subscribe::Unsubscribe {
    pub async fn run(self, _: &mut Session) -> Outcome {
        Err(Fail::No(None, "to come".into()))
    }
}
