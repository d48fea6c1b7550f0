//! The smtp face.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::control::{Connection, Face, Refused};
use crate::intake::House;

/// The smtp service.
pub struct Smtp {
    house: Arc<House>,
}

impl Smtp {
    /// The face on this house.
    pub fn new(house: Arc<House>) -> Arc<Self> {
        Arc::new(Self { house })
    }
}

impl Face for Smtp {
    fn service(&self) -> &'static str {
        "smtp"
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
