//! A picture like a photograph: light that falls off, soft shapes, texture and noise.
//!
//! What matters is how it compresses and what a filter has to do, not what it shows. A
//! picture of plain areas would be decoded much faster than any photograph.

use png::{BitDepth, ColorType, DeflateCompression, Encoder, Filter};

use super::Random;

/// Red, green and blue.
type Color = [i64; 3];

/// Weights are parts of this.
const ONE: i64 = 1024;
const SHAPES: u32 = 14;
/// The distance between the points of the texture, in pixels.
const TEXTURE_STEP: i64 = 12;
/// The largest that the texture adds or takes.
const TEXTURE_DEPTH: i64 = 14;
/// The standard deviation of the noise.
const NOISE: i64 = 3;

/// A PNG of that size; the sides must not be 0.
pub(crate) fn photo(width: u32, height: u32, seed: u64) -> Vec<u8> {
    let random = &mut Random::new(seed);
    let scene = Scene::new(i64::from(width), i64::from(height), random);
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..scene.height {
        for x in 0..scene.width {
            for channel in scene.color(x, y) {
                // No truncation: it is clamped to a byte's range.
                pixels.push((channel + noise(random)).clamp(0, 255) as u8);
            }
        }
    }
    encode(width, height, &pixels)
}

/// What there is to see.
#[derive(Debug)]
struct Scene {
    width: i64,
    height: i64,
    /// The colours of the corners: top left, top right, bottom left, bottom right.
    corners: [Color; 4],
    shapes: Vec<Shape>,
    texture: Texture,
}

/// An ellipse.
#[derive(Debug)]
struct Shape {
    x: i64,
    y: i64,
    radius_x: i64,
    radius_y: i64,
    color: Color,
    /// How fast it goes from nothing at its edge to its colour: 1 is a glow.
    sharpness: i64,
}

/// Random values on a grid, and what is between them.
#[derive(Debug)]
struct Texture {
    columns: i64,
    values: Vec<i64>,
}

impl Scene {
    fn new(width: i64, height: i64, random: &mut Random) -> Self {
        Self {
            width,
            height,
            corners: std::array::from_fn(|_| color(random)),
            shapes: (0..SHAPES).map(|_| Shape::new(width, height, random)).collect(),
            texture: Texture::new(width, height, random),
        }
    }

    fn color(&self, x: i64, y: i64) -> Color {
        let (right, down) = (x * ONE / self.width, y * ONE / self.height);
        let [top_left, top_right, bottom_left, bottom_right] = self.corners;
        let top = mix(top_left, top_right, right);
        let mut color = mix(top, mix(bottom_left, bottom_right, right), down);
        for shape in &self.shapes {
            color = mix(color, shape.color, shape.weight(x, y));
        }
        let texture = self.texture.at(x, y);
        color.map(|channel| channel + texture)
    }
}

impl Shape {
    fn new(width: i64, height: i64, random: &mut Random) -> Self {
        Self {
            x: random.within(0, width),
            y: random.within(0, height),
            radius_x: random.within(width / 16, width / 3).max(1),
            radius_y: random.within(height / 16, height / 3).max(1),
            color: color(random),
            sharpness: *random.pick(&[1, 1, 2, 4, 16]),
        }
    }

    /// How much of the shape's colour is at a point, in parts of [`ONE`].
    fn weight(&self, x: i64, y: i64) -> i64 {
        let (dx, dy) = (x - self.x, y - self.y);
        let distance = dx * dx * ONE / (self.radius_x * self.radius_x)
            + dy * dy * ONE / (self.radius_y * self.radius_y);
        ((ONE - distance) * self.sharpness).clamp(0, ONE)
    }
}

impl Texture {
    fn new(width: i64, height: i64, random: &mut Random) -> Self {
        // One point beyond the last pixel, so that every pixel has four around it.
        let columns = width / TEXTURE_STEP + 2;
        let rows = height / TEXTURE_STEP + 2;
        let values =
            (0..columns * rows).map(|_| random.within(-TEXTURE_DEPTH, TEXTURE_DEPTH)).collect();
        Self { columns, values }
    }

    fn at(&self, x: i64, y: i64) -> i64 {
        let (column, row) = (x / TEXTURE_STEP, y / TEXTURE_STEP);
        let (right, down) = (x % TEXTURE_STEP, y % TEXTURE_STEP);
        let (left, up) = (TEXTURE_STEP - right, TEXTURE_STEP - down);
        let top = self.value(column, row) * left + self.value(column + 1, row) * right;
        let bottom = self.value(column, row + 1) * left + self.value(column + 1, row + 1) * right;
        (top * up + bottom * down) / (TEXTURE_STEP * TEXTURE_STEP)
    }

    fn value(&self, column: i64, row: i64) -> i64 {
        // Both are within the grid, so the index is neither negative nor too large.
        self.values[(row * self.columns + column) as usize]
    }
}

fn color(random: &mut Random) -> Color {
    std::array::from_fn(|_| random.within(20, 235))
}

/// From `a` to `b`, by a weight in parts of [`ONE`].
fn mix(a: Color, b: Color, weight: i64) -> Color {
    std::array::from_fn(|channel| a[channel] + (b[channel] - a[channel]) * weight / ONE)
}

/// A number around 0 with the deviation [`NOISE`], in a bell curve's shape: the sum of four
/// bytes has the mean 510 and the deviation 148.
fn noise(random: &mut Random) -> i64 {
    let sum: i64 = random.word().into_iter().map(i64::from).sum();
    (sum - 510) * NOISE / 148
}

/// Encodes with a compressor that is one crate's own. The other one that the encoder could
/// use has several implementations, and which is linked depends on the rest of the build.
fn encode(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_deflate_compression(DeflateCompression::FdeflateUltraFast);
    encoder.set_filter(Filter::Paeth);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(pixels)?;
        writer.finish()
    });
    written.expect("memory takes any picture whose sides are not 0");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(png: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (ColorType::Rgb, BitDepth::Eight));
        (info.width, info.height, pixels)
    }

    #[test]
    fn the_picture_has_its_size() {
        for (width, height) in [(1, 1), (1, 30), (37, 2), (180, 120)] {
            let (w, h, _) = decode(&photo(width, height, 3));
            assert_eq!((w, h), (width, height));
        }
    }

    #[test]
    fn it_is_neither_plain_nor_noise_alone() {
        let png = photo(180, 120, 3);
        let (_, _, pixels) = decode(&png);
        assert!(png.len() > pixels.len() / 4, "{} of {} bytes", png.len(), pixels.len());
        assert!(png.len() < pixels.len() * 4 / 5, "{} of {} bytes", png.len(), pixels.len());
        let least = pixels.iter().min().unwrap();
        let most = pixels.iter().max().unwrap();
        assert!(most - least > 120, "{least} to {most}");
    }
}
