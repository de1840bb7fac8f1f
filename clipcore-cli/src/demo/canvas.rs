//! A picture in planar YUV 4:2:0, as encoders take it.

/// Luma and the two chroma differences, BT.601 limited range.
pub(super) type Colour = [u8; 3];

/// A picture to draw on; what lies outside is cut off.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    /// All of Y, then U, then V.
    bytes: Vec<u8>,
}

impl Canvas {
    pub(super) fn new((width, height): (usize, usize), colour: Colour) -> Self {
        let pixels = width * height;
        let mut bytes = vec![colour[0]; pixels * 3 / 2];
        bytes[pixels..pixels * 5 / 4].fill(colour[1]);
        bytes[pixels * 5 / 4..].fill(colour[2]);
        Self { width, height, bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes over another picture of the same size.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.bytes.copy_from_slice(&other.bytes);
    }

    /// One row from `x0` up to `x1`.
    fn span(&mut self, y: i32, x0: i32, x1: i32, colour: Colour) {
        let (x0, x1) = (x0.clamp(0, self.width as i32) as usize, x1.clamp(0, self.width as i32) as usize);
        if y < 0 || y as usize >= self.height || x0 >= x1 {
            return;
        }
        let y = y as usize;
        self.bytes[y * self.width + x0..y * self.width + x1].fill(colour[0]);
        let (half, pixels) = (self.width / 2, self.width * self.height);
        let row = (y / 2) * half;
        let (c0, c1) = (x0 / 2, x1.div_ceil(2).min(half));
        self.bytes[pixels + row + c0..pixels + row + c1].fill(colour[1]);
        self.bytes[pixels * 5 / 4 + row + c0..pixels * 5 / 4 + row + c1].fill(colour[2]);
    }

    pub(super) fn rect(&mut self, x: i32, y: i32, width: i32, height: i32, colour: Colour) {
        (y..y + height).for_each(|row| self.span(row, x, x + width, colour));
    }

    pub(super) fn disc(&mut self, x: i32, y: i32, radius: i32, colour: Colour) {
        for dy in -radius..=radius {
            let reach = f64::from(radius * radius - dy * dy).sqrt() as i32;
            self.span(y + dy, x - reach, x + reach + 1, colour);
        }
    }

    /// Text from digits, most capitals, `:` and `-`; each dot of its 5 × 7 letters is `scale` pixels wide.
    pub(super) fn text(&mut self, x: i32, y: i32, scale: i32, text: &str, colour: Colour) {
        for (i, c) in text.chars().enumerate() {
            let left = x + i as i32 * 6 * scale;
            for (row, bits) in glyph(c).into_iter().enumerate() {
                for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                    self.rect(left + column * scale, y + row as i32 * scale, scale, scale, colour);
                }
            }
        }
    }
}

/// Rows of a letter from the top, five bits each, the leftmost dot highest.
fn glyph(c: char) -> [u8; 7] {
    match c {
        '0' => [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e],
        '1' => [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e],
        '2' => [0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f],
        '3' => [0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e],
        '4' => [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02],
        '5' => [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e],
        '6' => [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e],
        '7' => [0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08],
        '8' => [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e],
        '9' => [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c],
        'A' => [0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11],
        'B' => [0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e],
        'C' => [0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e],
        'D' => [0x1c, 0x12, 0x11, 0x11, 0x11, 0x12, 0x1c],
        'E' => [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f],
        'F' => [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10],
        'G' => [0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0f],
        'H' => [0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11],
        'I' => [0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e],
        'L' => [0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f],
        'M' => [0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11],
        'N' => [0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11],
        'O' => [0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
        'P' => [0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10],
        'R' => [0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11],
        'S' => [0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e],
        'T' => [0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04],
        'U' => [0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
        'V' => [0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04],
        'W' => [0x11, 0x11, 0x11, 0x15, 0x15, 0x1b, 0x11],
        'Y' => [0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04],
        ':' => [0, 4, 0, 0, 0, 4, 0],
        '-' => [0, 0, 0, 0x1f, 0, 0, 0],
        _ => [0; 7],
    }
}
