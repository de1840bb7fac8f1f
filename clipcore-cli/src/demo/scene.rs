//! What is to be seen: a pitch with a ball, a crowd that jumps when it is moved, a score, a clock, and the number
//! of the picture.

use super::canvas::{Canvas, Colour};
use super::random::Random;
use super::{DISTRACTORS, FPS, MOMENTS, SIZE, excitement};

const NIGHT: Colour = [38, 140, 120];
const GRASS: [Colour; 2] = [[96, 104, 104], [104, 102, 102]];
const WHITE: Colour = [225, 128, 128];
const YELLOW: Colour = [200, 40, 150];
const RED: Colour = [90, 100, 200];
const SHIRTS: [Colour; 6] =
    [[150, 90, 160], [120, 170, 100], [170, 60, 140], [110, 120, 190], [180, 128, 128], [90, 150, 150]];

struct Fan {
    x: i32,
    y: i32,
    phase: f64,
    shirt: Colour,
}

/// Draws the pictures of one demo stream.
pub(super) struct Scene {
    background: Canvas,
    crowd: Vec<Fan>,
}

impl Scene {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "scene");
        let (w, h) = (SIZE.0 as i32, SIZE.1 as i32);
        let mut background = Canvas::new(SIZE, NIGHT);
        for stripe in 0..8 {
            background.rect(stripe * w / 8, 70, w / 8, 190, GRASS[stripe as usize % 2]);
        }
        background.rect(0, 70, w, 2, WHITE);
        background.rect(0, 258, w, 2, WHITE);
        background.rect(w / 2 - 1, 70, 2, 190, WHITE);
        for (x, width) in [(0, 14), (w - 14, 14)] {
            background.rect(x, 130, width, 70, WHITE);
            background.rect(x + if x == 0 { 0 } else { 2 }, 132, width - 2, 66, [60, 128, 128]);
        }
        let crowd = (0..2 * 34)
            .map(|i| Fan {
                x: (i % 34) * 19 + 8 + (i / 34) * 9,
                y: h - 62 + (i / 34) * 30,
                phase: random.between(0.0, std::f64::consts::TAU),
                shirt: *random.pick(&SHIRTS),
            })
            .collect();
        Self { background, crowd }
    }

    /// Draws picture `number` of the stream.
    pub(super) fn draw(&self, number: u32, canvas: &mut Canvas) {
        let t = f64::from(number) / f64::from(FPS);
        canvas.copy_from(&self.background);
        let (x, y) = ball(t);
        canvas.disc(x + 3, y + 4, 7, [60, 110, 110]);
        canvas.disc(x, y, 8, WHITE);
        self.draw_crowd(t, canvas);

        let score = MOMENTS.iter().filter(|m| m.kind == "cheer" && t >= m.start).count();
        canvas.text(14, 12, 3, &format!("HOME {score} - 0 AWAY"), WHITE);
        let clock = format!("{:02}:{:02}", t as u32 / 60, t as u32 % 60);
        canvas.text(SIZE.0 as i32 - 110, 12, 3, &clock, YELLOW);
        canvas.text(14, 44, 2, &format!("FRAME {number:05}"), WHITE);
        if let Some(m) = MOMENTS.iter().find(|m| m.start <= t && t < m.end)
            && ((t * 4.0) as u32).is_multiple_of(2)
        {
            let banner = if m.kind == "applause" { "FINE SAVE" } else { "GOAL" };
            let x = (SIZE.0 as i32 - banner.len() as i32 * 36) / 2;
            canvas.text(x, 140, 6, banner, YELLOW);
        }
        if let Some(d) = DISTRACTORS.iter().find(|d| d.start <= t && t < d.end.max(d.start + 1.0)) {
            canvas.text(SIZE.0 as i32 - 110, 44, 2, &d.kind.to_uppercase(), RED);
        }
    }

    fn draw_crowd(&self, t: f64, canvas: &mut Canvas) {
        let moved = excitement(t);
        for fan in &self.crowd {
            let jump = (t * (2.0 + 9.0 * moved) + fan.phase).sin().abs() * (2.0 + 16.0 * moved);
            let y = fan.y - jump as i32;
            canvas.rect(fan.x - 7, y + 8, 14, 40, fan.shirt);
            canvas.disc(fan.x, y, 7, [150, 110, 150]);
            if moved > 0.3 {
                canvas.rect(fan.x - 10, y - 14, 3, 20, fan.shirt);
                canvas.rect(fan.x + 8, y - 14, 3, 20, fan.shirt);
            }
        }
    }
}

/// Where the ball is: wandering, and in the goal's mouth when a moment begins.
fn ball(t: f64) -> (i32, i32) {
    let (x, y) = (320.0 + 250.0 * (t * 0.43).sin(), 165.0 + 70.0 * (t * 0.71 + 1.0).sin());
    let shot = MOMENTS
        .iter()
        .map(|m| ((t - m.start + 0.8) / 0.8).clamp(0.0, 1.0) * ((m.end - t) / 1.0).clamp(0.0, 1.0))
        .fold(0.0, f64::max);
    ((x + (628.0 - x) * shot) as i32, (y + (165.0 - y) * shot) as i32)
}
