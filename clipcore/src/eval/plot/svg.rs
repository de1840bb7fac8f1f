//! The few SVG elements that a plot needs, with text escaped and coordinates short.

use std::fmt::Write;

pub(super) struct Svg {
    body: String,
    width: f64,
}

impl Svg {
    pub(super) fn new(width: f64) -> Self {
        Self { body: String::new(), width }
    }

    pub(super) fn rect(&mut self, x: f64, y: f64, w: f64, h: f64, class: &str, title: &str) {
        let (w, h) = (w.max(0.0), h.max(0.0));
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}""#
        );
        match title {
            "" => self.body.push_str("/>\n"),
            title => {
                let _ = writeln!(self.body, "><title>{}</title></rect>", escape(title));
            }
        }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let _ = writeln!(
            self.body,
            r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    /// Text whose baseline starts (or, for `anchor` "end" or "middle", ends or centres) at the point.
    pub(super) fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
        let _ = writeln!(
            self.body,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            escape(text)
        );
    }

    /// Straight strokes through the points of each piece, closed and filled where the class says so.
    pub(super) fn path(&mut self, points: &[(f64, f64)], class: &str, title: &str) {
        let _ = write!(self.body, r#"<path class="{class}" d=""#);
        for (i, (x, y)) in points.iter().enumerate() {
            let _ = write!(self.body, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        let _ = writeln!(self.body, r#"Z"><title>{}</title></path>"#, escape(title));
    }

    pub(super) fn finish(self, height: f64, style: &str) -> String {
        let Self { body, width } = self;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0}" viewBox="0 0 {width} {height:.0}">
<style>{style}</style>
<rect class="paper" width="100%" height="100%"/>
{body}</svg>
"#
        )
    }
}

/// Text as it may stand in XML; characters that XML 1.0 does not allow become blanks.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(escape("<script>&\"\u{0}\u{ffff}é"), "&lt;script&gt;&amp;&quot;  é");
    }
}
