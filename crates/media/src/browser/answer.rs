//! The answer that a browser gets: what the stack wrote for the lines that are heard, and port 0 for the others.

use super::offer::{Line, Offer, Section, sections};

/// The stack's answer knows the heard lines alone: the others take their places again (RFC 3264 §6).
pub(crate) fn complete(offer: &Offer, answer: &str) -> String {
    let mut parts = sections(answer);
    let mut text = String::with_capacity(answer.len() + 256);
    let session = parts.next();
    for line in session.iter().flat_map(|session| &session.lines) {
        match line.strip_prefix("o=").and_then(|origin| origin.split_once(' ')) {
            // what it is made with is nobody's business
            Some((_, rest)) => push(&mut text, &format!("o=- {rest}")),
            None => push(&mut text, line),
        }
    }
    let mut is_first = true;
    for line in &offer.lines {
        match line {
            Line::Heard(_) => {
                let Some(section) = parts.next() else { continue };
                section.lines.iter().for_each(|line| push(&mut text, line));
                if std::mem::take(&mut is_first) && section.attribute("end-of-candidates").is_none() {
                    // all that there are (RFC 8840 §8.2)
                    push(&mut text, "a=end-of-candidates");
                }
            }
            Line::Refused { media, mid } => {
                push(&mut text, media);
                push(&mut text, "c=IN IP4 0.0.0.0");
                mid.iter().for_each(|mid| push(&mut text, &format!("a=mid:{mid}")));
                push(&mut text, "a=inactive");
            }
        }
    }
    text
}

/// What of an answer a fragment says (RFC 8840 §9, RFC 9725 §4.3.3): credentials and candidates of the first line.
pub(crate) fn fragment(answer: &str) -> String {
    let mut parts = sections(answer);
    let mut text = String::from("a=ice-lite\r\n");
    let mut put = |section: Option<Section<'_>>, names: &[&str]| {
        for line in section.iter().flat_map(|section| &section.lines) {
            if names.iter().any(|name| line.starts_with(name)) {
                push(&mut text, line);
            }
        }
    };
    put(parts.next(), &["a=group:"]);
    put(
        parts.find(|section| section.attribute("ice-ufrag").is_some()),
        &["m=", "a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:"],
    );
    push(&mut text, "a=end-of-candidates");
    text
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push_str("\r\n");
}
