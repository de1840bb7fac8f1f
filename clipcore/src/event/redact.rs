use super::{AnyEvent, ChatMessage, Event, FaceExpression, Transcript};
use crate::consent::Consent;

impl Consent {
    /// The event as far as this consent lets it be processed: `None` where nothing of it may be.
    ///
    /// Without consent to chat text a message keeps its time and its author's pseudonym, so that it is counted,
    /// and loses words and emotes (an emote is a word). Expression scores need consent to faces, and transcripts,
    /// which quote people, consent to chat text. Everything else passes.
    pub fn redact(self, event: AnyEvent) -> Option<AnyEvent> {
        match event.kind() {
            ChatMessage::KIND if !self.chat_text => {
                // A payload of this kind but of another type could hide the words anywhere.
                let message = event.payload::<ChatMessage>()?;
                if message.text.is_none() && message.emotes.is_empty() {
                    return Some(event);
                }
                let mut counted = ChatMessage { text: None, ..message.clone() };
                if !counted.emotes.is_empty() {
                    counted.emotes = std::sync::Arc::default();
                }
                Some(event.with_data(counted))
            }
            Transcript::KIND if !self.chat_text => None,
            FaceExpression::KIND if !self.face => None,
            _ => Some(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kinds;
    use super::*;

    fn redacted(consent: Consent, json: &str) -> Option<String> {
        let event = Kinds::builtin().parse(json.as_bytes()).unwrap().resolve(&mut |_| None).unwrap();
        consent.redact(event).map(|e| e.to_json().unwrap())
    }

    #[test]
    fn without_consent_a_message_is_counted_and_its_words_are_gone() {
        let json = r#"{"type":"chat.message","stream":"s","id":"7","at":1,"data":{"user":"u1","text":"secret","emotes":["KEKW"],"badges":["moderator"]}}"#;
        let kept = redacted(Consent::NONE, json).unwrap();
        assert!(kept.contains("u1") && kept.contains("moderator") && kept.contains("\"7\""), "{kept}");
        assert!(!kept.contains("secret") && !kept.contains("KEKW"), "{kept}");
        assert!(redacted(Consent::ALL, json).unwrap().contains("secret"));
    }

    #[test]
    fn faces_and_transcripts_need_their_consent() {
        let face = r#"{"type":"face.expression","stream":"s","at":1,"data":{"scores":{"happy":0.9}}}"#;
        let words = r#"{"type":"transcript","stream":"s","at":1,"data":{"text":"hi","start":0,"end":1}}"#;
        assert_eq!(redacted(Consent::NONE, face), None);
        assert_eq!(redacted(Consent::NONE, words), None);
        assert!(redacted(Consent { face: true, chat_text: false }, face).is_some());
        assert!(redacted(Consent { face: false, chat_text: true }, words).is_some());
        let marker = r#"{"type":"marker","stream":"s","at":1,"data":{"label":"clip that"}}"#;
        assert!(redacted(Consent::NONE, marker).is_some());
    }
}
