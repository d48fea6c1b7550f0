//! The account with the authority: one for each directory, made when it is first needed (RFC 8555 §7.3).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use instant_acme::{Account, ExternalAccountKey, NewAccount};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::Certificates;
use super::client::Client;
use super::trouble::Trouble;
use crate::control::config::acme::Acme;
use crate::sql;
use crate::tls::certificate::pem;

const FIND_ACCOUNT: &str = sql!("certificates/find_account");
const KEEP_ACCOUNT: &str = sql!("certificates/keep_account");
const KEEP_CONTACT: &str = sql!("certificates/keep_contact");
const FORGET_ACCOUNT: &str = sql!("certificates/forget_account");

/// Authorities hand keys out with or without padding.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Certificates {
    /// The account, with the contact that the settings name.
    pub(super) async fn account(&self, acme: &Acme, client: &Client) -> Result<Account, Trouble> {
        let Some(row) = self.control.db.query_opt(FIND_ACCOUNT, &[&acme.directory]).await? else {
            return self.make_account(acme, client).await;
        };
        let (url, key, contact): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
        let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).map_err(|error| {
            Trouble::told(format!("the key in control.acme_account can't be read: {error}"))
        })?;
        let account = Account::builder_with_http(Box::new(client.clone()))
            .from_parts(url, key, acme.directory.clone())
            .await?;
        if contact != acme.contact {
            account.update_contacts(&links(&mail_link(acme))).await?;
            self.control.db.execute(KEEP_CONTACT, &[&acme.directory, &acme.contact]).await?;
        }
        Ok(account)
    }

    async fn make_account(&self, acme: &Acme, client: &Client) -> Result<Account, Trouble> {
        let link = mail_link(acme);
        let new = NewAccount {
            contact: &links(&link),
            terms_of_service_agreed: acme.terms_agreed,
            only_return_existing: false,
        };
        let external = match (&acme.external_key_id, &acme.external_key) {
            (Some(id), Some(key)) => {
                let key = KEY.decode(key).map_err(|error| {
                    Trouble::told(format!("control.acme.external_key is no base64url: {error}"))
                })?;
                Some(ExternalAccountKey::new(id.clone(), &key))
            }
            _ => None,
        };
        let (account, credentials) = Account::builder_with_http(Box::new(client.clone()))
            .create(&new, acme.directory.clone(), external.as_ref())
            .await?;
        let key = pem("PRIVATE KEY", credentials.private_key().secret_pkcs8_der());
        let url = account.id();
        self.control.db.execute(KEEP_ACCOUNT, &[&acme.directory, &url, &key, &acme.contact]).await?;
        tracing::info!(
            directory = acme.directory,
            account = url,
            "an account with a certificate authority has been made"
        );
        Ok(account)
    }

    /// Forgets an account that the authority does not know.
    pub(super) async fn forget_account(&self, acme: &Acme) -> Result<(), Trouble> {
        self.control.db.execute(FORGET_ACCOUNT, &[&acme.directory]).await?;
        Ok(())
    }
}

/// The contact as an address that begins with mailto (RFC 6068).
fn mail_link(acme: &Acme) -> Option<String> {
    acme.contact.as_ref().map(|contact| format!("mailto:{contact}"))
}

fn links(link: &Option<String>) -> Vec<&str> {
    link.as_deref().into_iter().collect()
}
