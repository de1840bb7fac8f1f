use std::fmt::Display;
use std::io::Write;

/// Writes the members of a JSON object one after another to the end of a buffer. Nothing of it can fail: what is written are
/// texts, into memory.
pub(crate) struct Members<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// The place of a member's value, which the caller writes there.
    pub(crate) fn value(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if std::mem::take(&mut self.first) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        let _ = serde_json::to_writer(self.value(name), text);
    }

    pub(crate) fn optional(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A text that has nothing in it to be escaped.
    pub(crate) fn shown(&mut self, name: &'static str, value: Option<impl Display>) {
        if let Some(value) = value {
            let _ = write!(self.value(name), "\"{value}\"");
        }
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

/// The text that `write` writes.
pub(crate) fn text_of(write: impl FnOnce(&mut Vec<u8>) -> crate::Result<()>) -> crate::Result<String> {
    let mut out = Vec::with_capacity(512);
    write(&mut out)?;
    String::from_utf8(out).map_err(|e| {
        crate::Error::new(crate::ErrorKind::Internal, "what was written is not UTF-8").with_source(e)
    })
}
