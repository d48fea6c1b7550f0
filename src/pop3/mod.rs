//! The pop3 face.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::control::{Connection, Face, Refused};
use crate::intake::House;

/// The pop3 service.
pub struct Pop3 {
    house: Arc<House>,
}

impl Pop3 {
    /// The face on this house.
    pub fn new(house: Arc<House>) -> Arc<Self> {
        Arc::new(Self { house })
    }
}

impl Face for Pop3 {
    fn service(&self) -> &'static str {
        "pop3"
    }

    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()> {
        let house = self.house.clone();
        Box::pin(async move {
            drop((house, connection));
        })
    }

    fn refusal(&self, _why: Refused) -> &'static [u8] {
        b"\r\n"
    }
}
