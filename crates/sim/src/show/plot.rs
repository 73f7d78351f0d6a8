//! How is a series drawn? Small SVG pictures, written by hand: no script, no font, no file beside them.

use std::fmt::Write as _;

/// Units of the picture; it is scaled to the width of its card.
pub(crate) const WIDTH: f64 = 340.0;
/// Room for the scale at the left.
const LEFT: f64 = 38.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 6.0;
/// Half of a letter under a picture is at most so wide.
const HALF_A_LETTER: f64 = 3.0;
/// The most points drawn: more than there are pixels says nothing.
const MOST_POINTS: usize = 260;

/// How values become heights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// From 0 to this.
    Linear(f64),
    /// From the first to the second.
    Window(f64, f64),
    /// Decades from 1 to this; what lies below 1 is drawn at the foot.
    Log(f64),
}

impl Scale {
    /// 0 at the foot, 1 at the top.
    fn place(self, value: f64) -> f64 {
        let share = match self {
            Scale::Linear(top) => value / top.max(f64::MIN_POSITIVE),
            Scale::Window(low, high) => (value - low) / (high - low).max(f64::MIN_POSITIVE),
            // Half a decade below 1, so that one load is seen.
            Scale::Log(top) => (value.max(1.0 / 3.2).log10() + 0.5) / (top.max(10.0).log10() + 0.5),
        };
        share.clamp(0.0, 1.0)
    }

    /// What is written at the left.
    fn marks(self) -> Vec<f64> {
        match self {
            Scale::Linear(top) => vec![0.0, top / 2.0, top],
            Scale::Window(low, high) => vec![low, (low + high) / 2.0, high],
            Scale::Log(top) => {
                let decades = top.max(10.0).log10().floor() as i32;
                let step = if decades > 3 { 2 } else { 1 };
                (0..=decades).step_by(step).map(|decade| 10f64.powi(decade)).collect()
            }
        }
    }
}

/// A picture of `height`, with whatever has been drawn into it.
pub(crate) struct Plot {
    width: f64,
    height: f64,
    scale: Scale,
    drawn: String,
}

impl Plot {
    /// An empty picture with lines at the scale's marks; `label` says what a mark reads.
    pub(crate) fn new(height: f64, scale: Scale, label: impl Fn(f64) -> String) -> Plot {
        Plot::wide(WIDTH, height, scale, label)
    }

    /// The same of another width.
    pub(crate) fn wide(width: f64, height: f64, scale: Scale, label: impl Fn(f64) -> String) -> Plot {
        let mut plot = Plot { width, height, scale, drawn: String::new() };
        for mark in scale.marks() {
            let y = plot.y(mark);
            plot.draw(format_args!("<path class=\"rule\" d=\"M{LEFT} {y:.1}H{:.1}\"/>", width - RIGHT));
            plot.draw(format_args!("<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", LEFT - 4.0, y + 3.0, label(mark)));
        }
        plot
    }

    fn draw(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing into a String can't fail.
        let _ = self.drawn.write_fmt(what);
    }

    fn y(&self, value: f64) -> f64 {
        let foot = self.height - TOP;
        foot - self.scale.place(value) * (foot - TOP)
    }

    fn x(&self, share: f64) -> f64 {
        LEFT + share.clamp(0.0, 1.0) * (self.width - RIGHT - LEFT)
    }

    /// A stretch of time set apart: shares of the width.
    pub(crate) fn shade(&mut self, from: f64, until: f64) {
        let (from, until) = (self.x(from), self.x(until));
        let (width, height) = (until - from, self.height - 2.0 * TOP);
        self.draw(format_args!(
            "<rect class=\"shade\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
        let foot = TOP + height;
        for edge in [from, until] {
            self.draw(format_args!("<path class=\"edge\" d=\"M{edge:.1} {TOP}V{foot:.1}\"/>"));
        }
    }

    /// The area under a series, in the colour of `class`. Of many values each point shows the highest.
    pub(crate) fn area(&mut self, values: &[f64], class: &str) {
        let (line, foot) = (self.steps(values), self.height - TOP);
        let (first, last) = (self.x(0.0), self.x(1.0));
        self.draw(format_args!(
            "<path class=\"area {class}\" d=\"M{first:.1} {foot:.1}{line}L{last:.1} {foot:.1}Z\"/>"
        ));
    }

    /// Areas on top of each other, from the foot up.
    pub(crate) fn stack(&mut self, layers: &[(&str, Vec<f64>)]) {
        let length = layers.first().map_or(0, |(_, values)| values.len());
        let mut sums = vec![0.0; length];
        let mut tops = Vec::new();
        for (class, values) in layers {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            tops.push((*class, sums.clone()));
        }
        // The highest first: each lower one is drawn over it.
        for (class, top) in tops.iter().rev() {
            self.area(top, class);
        }
    }

    /// A line through points given as shares of the width and values.
    pub(crate) fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let mut path = String::new();
        for (at, (x, value)) in points.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            // Writing into a String can't fail.
            let _ = write!(path, "{letter}{:.1} {:.1}", self.x(*x), self.y(*value));
        }
        self.draw(format_args!("<path class=\"line {class}\" d=\"{path}\"/>"));
        for (x, value) in points {
            let (x, y) = (self.x(*x), self.y(*value));
            self.draw(format_args!("<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\"/>"));
        }
    }

    /// The outline of a series, in the colour of `class`.
    pub(crate) fn outline(&mut self, values: &[f64], class: &str) {
        let line = self.steps(values);
        if let Some(rest) = line.strip_prefix('L') {
            self.draw(format_args!("<path class=\"line {class}\" d=\"M{rest}\"/>"));
        }
    }

    /// A dotted line across.
    pub(crate) fn level(&mut self, value: f64) {
        let (y, left, right) = (self.y(value), self.x(0.0), self.x(1.0));
        self.draw(format_args!("<path class=\"level\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>"));
    }

    /// Words under the picture, at shares of its width; none of them leaves it.
    pub(crate) fn foot(&mut self, words: &[(f64, String)]) {
        let y = self.height + 7.0;
        for (share, word) in words {
            let (x, half) = (self.x(*share), HALF_A_LETTER * word.chars().count() as f64);
            let (x, anchor) = if *share <= 0.0 {
                (x, "start")
            } else if *share >= 1.0 {
                (x, "end")
            } else if x + half > self.width {
                (self.width, "end")
            } else {
                (x, "middle")
            };
            self.draw(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" style=\"text-anchor:{anchor}\">{word}</text>"));
        }
        self.height += 12.0;
    }

    fn steps(&self, values: &[f64]) -> String {
        let group = values.len().div_ceil(MOST_POINTS).max(1);
        let points: Vec<f64> = values.chunks(group).map(|chunk| chunk.iter().copied().fold(0.0, f64::max)).collect();
        let mut path = String::new();
        for (at, value) in points.iter().enumerate() {
            let (from, until) = (at as f64 / points.len() as f64, (at + 1) as f64 / points.len() as f64);
            // Writing into a String can't fail.
            let _ = write!(path, "L{:.1} {:.1}H{:.1}", self.x(from), self.y(*value), self.x(until));
        }
        path
    }

    /// The picture; `title` is what a screen reader says.
    pub(crate) fn svg(&self, title: &str) -> String {
        let (width, height, drawn) = (self.width, self.height, &self.drawn);
        format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">{drawn}</svg>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_value_is_drawn_higher_and_nothing_leaves_the_picture() {
        for scale in [Scale::Linear(50.0), Scale::Log(20_000.0)] {
            let places: Vec<f64> = [0.0, 1.0, 10.0, 49.0, 1e9].map(|value| scale.place(value)).to_vec();
            assert!(places.is_sorted(), "{places:?}");
            assert!(places.iter().all(|place| (0.0..=1.0).contains(place)));
        }
        assert!(Scale::Log(100.0).place(1.0) > Scale::Log(100.0).place(0.0), "one load is seen");
    }

    #[test]
    fn a_word_under_the_picture_that_would_leave_it_at_the_right_ends_with_it() {
        let mut plot = Plot::wide(400.0, 60.0, Scale::Linear(40.0), |mark| mark.to_string());
        plot.foot(&[
            (0.0, "0".to_owned()),
            (0.5, "5 min".to_owned()),
            (0.99, "10 min".to_owned()),
            (1.0, "4 GiB".to_owned()),
        ]);
        let word = |x: &str, anchor: &str, word: &str| {
            let drawn = format!("<text x=\"{x}\" y=\"67.0\" style=\"text-anchor:{anchor}\">{word}</text>");
            assert!(plot.drawn.contains(&drawn), "{drawn}: {}", plot.drawn);
        };
        word("38.0", "start", "0");
        word("214.0", "middle", "5 min");
        word("400.0", "end", "10 min");
        word("390.0", "end", "4 GiB");
    }

    #[test]
    fn many_points_are_few_and_keep_the_highest() {
        let mut values = vec![1.0; 10_000];
        values[5_000] = 40.0;
        let plot = Plot::new(60.0, Scale::Linear(40.0), |mark| mark.to_string());
        let path = plot.steps(&values);
        assert!(path.matches('L').count() <= MOST_POINTS);
        assert!(path.contains(&format!(" {:.1}H", plot.y(40.0))), "the peak survives");
    }
}
