//! What people read, in their language (RFC 5255 §3).
//!
//! The texts of answers are written in English where they arise; those that people get to see are here in the other
//! languages, looked up by the English one. A text that is not here stays English, which RFC 5255 §3.2 allows, and which
//! those that only developers see should. Codes, tags and names are never touched.

use std::borrow::Cow;

/// A language of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// What is spoken until the client asks for something else: English (RFC 2277 §4.5).
    #[default]
    Default,
    /// English.
    English,
    /// German.
    German,
    /// French.
    French,
    /// Spanish.
    Spanish,
}

impl Language {
    /// All of them, as LANGUAGE lists them.
    pub const ALL: [Language; 5] =
        [Language::English, Language::German, Language::French, Language::Spanish, Language::Default];

    /// Its tag (RFC 5646).
    pub fn tag(self) -> &'static str {
        match self {
            Language::Default => "i-default",
            Language::English => "en",
            Language::German => "de",
            Language::French => "fr",
            Language::Spanish => "es",
        }
    }

    /// The language of a range: the range itself, or what is left when its last subtags go (RFC 4647 §3.4).
    pub fn lookup(range: &str) -> Option<Self> {
        let mut range = range;
        loop {
            let found = Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(range));
            if found.is_some() {
                return found;
            }
            range = range.rsplit_once('-')?.0;
        }
    }

    /// A text in this language, or as it is.
    pub fn say(self, text: &str) -> Cow<'_, str> {
        let at = match self {
            Language::Default | Language::English => return Cow::Borrowed(text),
            Language::German => 0,
            Language::French => 1,
            Language::Spanish => 2,
        };
        let found =
            TEXTS.iter().find_map(|(english, others)| Some((filling(english, text)?, others.get(at)?)));
        match found {
            Some(("", said)) => Cow::Borrowed(said),
            Some((filling, said)) => Cow::Owned(said.replacen("{}", filling, 1)),
            None => Cow::Borrowed(text),
        }
    }
}

/// What stands in `text` in the place of the pattern's `{}`; nothing where it has none.
fn filling<'t>(pattern: &str, text: &'t str) -> Option<&'t str> {
    match pattern.split_once("{}") {
        Some((before, after)) => {
            text.strip_prefix(before)?.strip_suffix(after).filter(|filling| !filling.is_empty())
        }
        None => (pattern == text).then_some(""),
    }
}

/// A text in English, with `{}` for what differs from time to time; in German, French and Spanish.
type Text = (&'static str, [&'static str; 3]);

#[rustfmt::skip]
const TEXTS: &[Text] = &[
    // Logging in
    ("logged in", [
        "angemeldet",
        "connecté",
        "sesión iniciada"]),
    ("user name or password is wrong", [
        "Benutzername oder Passwort ist falsch",
        "le nom d'utilisateur ou le mot de passe est incorrect",
        "el nombre de usuario o la contraseña no son correctos"]),
    ("too many wrong passwords: locked for {} minutes", [
        "zu viele falsche Passwörter: für {} Minuten gesperrt",
        "trop de mots de passe incorrects : accès bloqué pendant {} minutes",
        "demasiadas contraseñas incorrectas: acceso bloqueado durante {} minutos"]),
    ("this account may not use {}", [
        "dieses Konto darf {} nicht benutzen",
        "ce compte n'a pas le droit d'utiliser {}",
        "esta cuenta no puede usar {}"]),
    ("this account has too many connections", [
        "dieses Konto hat zu viele Verbindungen",
        "ce compte a trop de connexions",
        "esta cuenta tiene demasiadas conexiones"]),
    ("this needs TLS: use STARTTLS or port 993 first", [
        "das geht nur verschlüsselt: zuerst STARTTLS oder Port 993 benutzen",
        "une connexion chiffrée est nécessaire : utilisez d'abord STARTTLS ou le port 993",
        "se necesita una conexión cifrada: use antes STARTTLS o el puerto 993"]),
    ("this mechanism needs TLS: use STARTTLS or port 993 first", [
        "dieses Verfahren geht nur verschlüsselt: zuerst STARTTLS oder Port 993 benutzen",
        "ce mécanisme demande une connexion chiffrée : utilisez d'abord STARTTLS ou le port 993",
        "este mecanismo necesita una conexión cifrada: use antes STARTTLS o el puerto 993"]),
    ("this mechanism is not offered here", [
        "dieses Verfahren wird hier nicht angeboten",
        "ce mécanisme n'est pas proposé ici",
        "este mecanismo no se ofrece aquí"]),
    ("not logged in any more", [
        "abgemeldet, die Verbindung bleibt bestehen",
        "déconnecté du compte, la liaison reste ouverte",
        "sesión cerrada, la conexión sigue abierta"]),
    ("logged out", ["abgemeldet", "déconnecté", "sesión cerrada"]),
    // Quota
    ("the mailbox is full: delete something first", [
        "das Postfach ist voll: bitte zuerst etwas löschen",
        "la boîte aux lettres est pleine : supprimez d'abord quelque chose",
        "el buzón está lleno: borre algo antes"]),
    ("the message is larger than this server takes", [
        "die Nachricht ist größer, als dieser Server annimmt",
        "le message est plus volumineux que ce serveur ne l'accepte",
        "el mensaje es más grande de lo que acepta este servidor"]),
    ("an account may not have more than {} mailboxes", [
        "ein Konto darf nicht mehr als {} Ordner haben",
        "un compte ne peut pas avoir plus de {} dossiers",
        "una cuenta no puede tener más de {} carpetas"]),
    ("an account may not have more than {} subscriptions", [
        "ein Konto darf nicht mehr als {} Ordner abonnieren",
        "un compte ne peut pas avoir plus de {} abonnements",
        "una cuenta no puede tener más de {} suscripciones"]),
    // Mailboxes
    ("there is no mailbox of that name", [
        "es gibt keinen Ordner mit diesem Namen",
        "il n'y a pas de dossier de ce nom",
        "no hay ninguna carpeta con ese nombre"]),
    ("there is a mailbox of that name already", [
        "es gibt schon einen Ordner mit diesem Namen",
        "il y a déjà un dossier de ce nom",
        "ya hay una carpeta con ese nombre"]),
    ("INBOX cannot be deleted or replaced", [
        "der Posteingang (INBOX) kann weder gelöscht noch ersetzt werden",
        "la boîte de réception (INBOX) ne peut être ni supprimée ni remplacée",
        "la bandeja de entrada (INBOX) no se puede borrar ni reemplazar"]),
    ("it has mailboxes below it: delete those first", [
        "der Ordner hat Unterordner: bitte zuerst diese löschen",
        "ce dossier a des sous-dossiers : supprimez-les d'abord",
        "la carpeta tiene subcarpetas: bórrelas antes"]),
    ("a mailbox cannot be moved below itself", [
        "ein Ordner kann nicht in sich selbst verschoben werden",
        "un dossier ne peut pas être déplacé dans lui-même",
        "una carpeta no se puede mover dentro de sí misma"]),
    ("the mailbox has just been deleted", [
        "der Ordner wurde soeben gelöscht",
        "le dossier vient d'être supprimé",
        "la carpeta acaba de borrarse"]),
    ("the selected mailbox has been deleted", [
        "der geöffnete Ordner wurde gelöscht",
        "le dossier ouvert a été supprimé",
        "la carpeta abierta se ha borrado"]),
    ("the mailbox is open for reading only", [
        "der Ordner ist nur zum Lesen geöffnet",
        "le dossier est ouvert en lecture seule",
        "la carpeta está abierta solo para lectura"]),
    ("the mailbox {} has this special use already", [
        "der Ordner {} hat diesen besonderen Zweck schon",
        "le dossier {} a déjà cet usage particulier",
        "la carpeta {} ya tiene este uso especial"]),
    ("this takes the right {} on the mailbox", [
        "dafür fehlt das Recht {} an diesem Ordner",
        "il faut pour cela le droit {} sur ce dossier",
        "para esto hace falta el permiso {} en la carpeta"]),
    ("mailbox created", ["Ordner angelegt", "dossier créé", "carpeta creada"]),
    ("mailbox renamed", ["Ordner umbenannt", "dossier renommé", "carpeta renombrada"]),
    ("mailbox deleted", ["Ordner gelöscht", "dossier supprimé", "carpeta borrada"]),
    ("mailbox selected", ["Ordner geöffnet", "dossier ouvert", "carpeta abierta"]),
    // Messages
    ("appended", ["abgelegt", "ajouté", "añadido"]),
    ("copied", ["kopiert", "copié", "copiado"]),
    ("moved", ["verschoben", "déplacé", "movido"]),
    ("expunged", ["endgültig gelöscht", "supprimé définitivement", "borrado definitivamente"]),
    ("there was nothing to copy", ["es gab nichts zu kopieren", "il n'y avait rien à copier", "no había nada que copiar"]),
    ("there was nothing to move", ["es gab nichts zu verschieben", "il n'y avait rien à déplacer", "no había nada que mover"]),
    ("the messages have been expunged", [
        "die Nachrichten wurden inzwischen gelöscht",
        "les messages ont été supprimés entre-temps",
        "los mensajes se han borrado entretanto"]),
    ("some of the messages have been expunged", [
        "einige der Nachrichten wurden inzwischen gelöscht",
        "certains des messages ont été supprimés entre-temps",
        "algunos de los mensajes se han borrado entretanto"]),
    ("the messages are in that mailbox already", [
        "die Nachrichten sind schon in diesem Ordner",
        "les messages sont déjà dans ce dossier",
        "los mensajes ya están en esa carpeta"]),
    // The server's own trouble, and its farewells
    ("the server cannot do this now, try again later", [
        "der Server kann das zurzeit nicht: bitte später noch einmal versuchen",
        "le serveur ne peut pas faire cela maintenant : réessayez plus tard",
        "el servidor no puede hacer esto ahora: inténtelo más tarde"]),
    ("internal error; the administrator's log says more", [
        "interner Fehler; im Protokoll des Administrators steht mehr",
        "erreur interne ; le journal de l'administrateur en dit plus",
        "error interno; el registro del administrador dice más"]),
    ("the server is stopping", ["der Server wird beendet", "le serveur s'arrête", "el servidor se está deteniendo"]),
    ("this session was ended by an administrator", [
        "diese Verbindung wurde von einem Administrator beendet",
        "cette session a été terminée par un administrateur",
        "un administrador ha terminado esta sesión"]),
    ("idle for too long", ["zu lange untätig", "inactif trop longtemps", "inactivo demasiado tiempo"]),
    ("you took too long to log in", [
        "die Anmeldung hat zu lange gedauert",
        "la connexion au compte a pris trop de temps",
        "el inicio de sesión ha tardado demasiado"]),
    ("too many mistakes", ["zu viele Fehler", "trop d'erreurs", "demasiados errores"]),
    ("good bye", ["auf Wiedersehen", "au revoir", "adiós"]),
    ("done", ["erledigt", "fait", "hecho"]),
    ("searched", ["gesucht", "recherche terminée", "búsqueda terminada"]),
    ("this language is spoken from here on", [
        "von hier an wird Deutsch gesprochen",
        "à partir d'ici, on parle français",
        "a partir de aquí se habla español"]),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn lookup_takes_the_nearest() {
        for (range, language) in [
            ("de", Some(Language::German)),
            ("DE-AT-1996", Some(Language::German)),
            ("fr-CA", Some(Language::French)),
            ("i-default", Some(Language::Default)),
            ("en", Some(Language::English)),
            ("i", None),
            ("d", None),
            ("it-de", None),
            ("", None),
        ] {
            assert_eq!(Language::lookup(range), language, "{range}");
        }
    }

    #[test]
    fn texts_with_what_differs() {
        let text = "too many wrong passwords: locked for 15 minutes";
        assert_eq!(Language::German.say(text), "zu viele falsche Passwörter: für 15 Minuten gesperrt");
        assert_eq!(Language::Spanish.say("copied"), "copiado");
        assert_eq!(Language::French.say("something new"), "something new");
        for language in [Language::Default, Language::English] {
            assert_eq!(language.say(text), text);
        }
        // What a client chose to call its mailbox is no pattern.
        assert_eq!(
            Language::German.say("the mailbox {} has this special use already"),
            "der Ordner {} hat diesen besonderen Zweck schon"
        );
    }

    /// All of the source but this file.
    fn source(dir: &Path, all: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                source(&entry, all);
            } else if !entry.ends_with("imap/language.rs") {
                all.push_str(&std::fs::read_to_string(entry).unwrap());
            }
        }
    }

    #[test]
    fn every_text_is_still_said_in_english() {
        let mut all = String::new();
        source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        for (english, others) in TEXTS {
            let said = english.split("{}").all(|part| all.contains(part));
            assert!(said, "nobody says {english:?} any more");
            for other in others {
                assert_eq!(english.contains("{}"), other.contains("{}"), "{other}");
                assert!(!other.chars().any(char::is_control));
            }
        }
    }
}
