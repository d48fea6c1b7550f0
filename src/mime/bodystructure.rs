//! BODY and BODYSTRUCTURE, as IMAP writes them (RFC 9051 §7.5.2 and the grammar of §9).

use super::content::Params;
use super::envelope::write_envelope;
use super::nstring::{write_nstring, write_string};
use super::part::{Body, Part};

/// Which of the two forms of a body structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `BODY`: without extension data.
    Body,
    /// `BODYSTRUCTURE`: with all extension data.
    BodyStructure,
}

/// Writes the structure of a part and everything in it.
///
/// Recursion is as deep as the tree, which [`super::structure::Limits::depth`] bounds.
pub fn write_bodystructure(part: &Part, form: Form, out: &mut Vec<u8>) {
    out.push(b'(');
    match &part.body {
        Body::Multipart(parts) => {
            for child in parts {
                write_bodystructure(child, form, out);
            }
            out.push(b' ');
            write_string(&part.subtype, out);
            if form == Form::BodyStructure {
                out.push(b' ');
                write_params(&part.params, out);
                write_common_extension(part, out);
            }
        }
        Body::Leaf => {
            write_fields(part, out);
            if part.is_type("text") {
                write_number(part.lines, out);
            }
            write_single_extension(part, form, out);
        }
        Body::Message(message) => {
            write_fields(part, out);
            out.push(b' ');
            write_envelope(&message.envelope, out);
            out.push(b' ');
            write_bodystructure(&message.part, form, out);
            write_number(part.lines, out);
            write_single_extension(part, form, out);
        }
    }
    out.push(b')');
}

/// Type, subtype and `body-fields`: what every part that is not multipart begins with.
fn write_fields(part: &Part, out: &mut Vec<u8>) {
    write_string(&part.media_type, out);
    out.push(b' ');
    write_string(&part.subtype, out);
    out.push(b' ');
    write_params(&part.params, out);
    out.push(b' ');
    write_nstring(part.id.as_deref(), out);
    out.push(b' ');
    write_nstring(part.description.as_deref(), out);
    out.push(b' ');
    // RFC 2045 §6.1: without the field it is 7bit.
    write_string(part.encoding.as_deref().unwrap_or(b"7bit"), out);
    write_number(part.octets(), out);
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(" {number}").as_bytes());
}

fn write_params(params: &Params, out: &mut Vec<u8>) {
    if params.is_empty() {
        return write_nstring(None, out);
    }
    for (at, (name, value)) in params.iter().enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        write_string(name, out);
        out.push(b' ');
        write_string(value, out);
    }
    out.push(b')');
}

/// `body-ext-1part`.
fn write_single_extension(part: &Part, form: Form, out: &mut Vec<u8>) {
    if form == Form::BodyStructure {
        out.push(b' ');
        write_nstring(part.md5.as_deref(), out);
        write_common_extension(part, out);
    }
}

/// Disposition, language and location, with which both extensions end.
fn write_common_extension(part: &Part, out: &mut Vec<u8>) {
    out.push(b' ');
    match &part.disposition {
        None => write_nstring(None, out),
        Some(disposition) => {
            out.push(b'(');
            write_string(&disposition.kind, out);
            out.push(b' ');
            write_params(&disposition.params, out);
            out.push(b')');
        }
    }
    out.push(b' ');
    match part.languages.as_slice() {
        [] => write_nstring(None, out),
        [one] => write_string(one, out),
        many => {
            for (at, language) in many.iter().enumerate() {
                out.push(if at == 0 { b'(' } else { b' ' });
                write_string(language, out);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    write_nstring(part.location.as_deref(), out);
}
