//! A picture's number as 2 × 16 black and white cells in its top quarter: 24 bits of number and 8 of checksum. It survives
//! lossy coding, and a picture that was decoded from wrong references fails the checksum or says its
//! true number, never a neighbour's.

const COLUMNS: usize = 16;
const BLACK: u8 = 16;
const WHITE: u8 = 235;

/// Draws grey pictures of one size.
pub struct Painter {
    width: usize,
    height: usize,
    texture: Vec<u8>,
}

/// How far the background scrolls before it comes round.
const SCROLL: usize = 256;

impl Painter {
    pub fn new(width: usize, height: usize) -> Self {
        assert!(width >= 8 * COLUMNS && height >= 64, "{width}×{height} is too small for a barcode");
        // Soft noise: enough texture to make motion vectors and residuals, not so much that files get big.
        let stride = width + SCROLL;
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut level = 120.0_f32;
        let texture = (0..stride * height)
            .map(|i| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                level += ((state >> 40) as f32 / 16_777_216.0 - 0.5) * 14.0 + (120.0 - level) * 0.02;
                (level + 30.0 * ((i / stride) as f32 / 23.0).sin()).clamp(20.0, 220.0) as u8
            })
            .collect();
        Self { width, height, texture }
    }

    /// The picture of a number, one byte a pixel, rows from the top. Successive pictures move.
    pub fn paint(&self, number: u32) -> Vec<u8> {
        let (w, h, n) = (self.width, self.height, number as usize);
        let stride = w + SCROLL;
        let mut picture = Vec::with_capacity(w * h);
        let bits = encode(number);
        for row in 0..2 {
            let line: Vec<u8> = (0..w)
                .map(|x| {
                    let bit = bits >> (row * COLUMNS + (x * COLUMNS / w)) & 1;
                    if bit == 1 { WHITE } else { BLACK }
                })
                .collect();
            (0..h / 8).for_each(|_| picture.extend_from_slice(&line));
        }
        for y in picture.len() / w..h {
            let from = y * stride + (n * 2) % SCROLL;
            picture.extend_from_slice(&self.texture[from..from + w]);
        }
        let side = h / 8;
        let (x0, y0) = (bounce(n * 5, w - side), h / 4 + bounce(n * 3, h - h / 4 - side));
        for y in y0..y0 + side {
            picture[y * w + x0..y * w + x0 + side].fill(if n / 15 % 2 == 0 { 210 } else { 40 });
        }
        picture
    }
}

fn bounce(position: usize, room: usize) -> usize {
    let p = position % (2 * room).max(1);
    if p < room { p } else { 2 * room - p }
}

/// The number in a grey picture; `None` where the cells are not clearly black or white or the checksum is wrong.
pub fn read(picture: &[u8], width: usize, height: usize) -> Option<u32> {
    let mut bits = 0_u32;
    for cell in 0..2 * COLUMNS {
        let (row, column) = (cell / COLUMNS, cell % COLUMNS);
        let (x0, x1) = (column * width / COLUMNS, (column + 1) * width / COLUMNS);
        let (y0, y1) = (row * (height / 8), (row + 1) * (height / 8));
        let (dx, dy) = ((x1 - x0) / 4, (y1 - y0) / 4);
        let (mut sum, mut count) = (0_u32, 0_u32);
        for y in y0 + dy..y1 - dy {
            for x in x0 + dx..x1 - dx {
                sum += u32::from(picture[y * width + x]);
                count += 1;
            }
        }
        match sum / count.max(1) {
            0..=90 => {}
            160.. => bits |= 1 << cell,
            _ => return None,
        }
    }
    let number = bits & 0xff_ffff;
    (encode(number) == bits).then_some(number)
}

fn encode(number: u32) -> u32 {
    assert!(number < 1 << 24, "{number} does not fit the barcode");
    number | u32::from(crc8(number)) << 24
}

/// CRC-8 (polynomial 0x07) from 0xff, so that an all-black picture is no number.
fn crc8(number: u32) -> u8 {
    number.to_le_bytes()[..3].iter().fold(0xff, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}
