//! Reads a PNG, resizes it and answers a JPEG: floating-point work over large buffers.
//!
//! The response is the same to the bit on every target. The triangle filter needs nothing
//! but sums, products, quotients and rounding, which IEEE 754 defines to the last bit; a
//! Lanczos filter would call the platform's own sine.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngDecoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, Limits, RgbImage};
use lumos_abi::{Error, Function};

/// The largest width and height, of the request's image and of the response's, in pixels.
pub const LARGEST_SIDE: u32 = 4096;

/// The quality of the JPEG, out of 100.
pub const JPEG_QUALITY: u8 = 80;

/// What stands before the scale in a request.
const HEADER: &[u8] = b"scale=";

/// The function. It takes a line `scale=<decimal number>`, then the bytes of a PNG, and gives
/// the bytes of a JPEG whose sides are the scale times as long.
#[derive(Debug)]
pub struct ImageResize;

lumos_abi::export!(crate::ImageResize);

/// A request that was read.
#[derive(Debug, Clone)]
pub struct Job {
    /// The image, decoded.
    pub image: RgbImage,
    /// The width to make, in pixels.
    pub width: u32,
    /// The height to make, in pixels.
    pub height: u32,
}

impl Function for ImageResize {
    type Input<'r> = Job;
    type Output<'r> = RgbImage;

    fn decode(request: &[u8]) -> Result<Job, Error> {
        let (scale, png) = split(request)?;
        let image = read_png(png)?;
        let width = scaled(image.width(), scale)?;
        let height = scaled(image.height(), scale)?;
        Ok(Job { image, width, height })
    }

    fn compute(job: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        Ok(imageops::resize(&job.image, job.width, job.height, FilterType::Triangle))
    }

    fn encode(image: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        JpegEncoder::new_with_quality(response, JPEG_QUALITY)
            .encode_image(&image)
            .map_err(|error| Error(format!("the JPEG cannot be written: {error}")))
    }
}

/// Parts a request into the scale and the PNG.
fn split(request: &[u8]) -> Result<(f64, &[u8]), Error> {
    let malformed = || Error::new("the request does not begin with a line `scale=<number>`");
    let rest = request.strip_prefix(HEADER).ok_or_else(malformed)?;
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(malformed)?;
    let number = str::from_utf8(&rest[..end]).map_err(|_| malformed())?;
    let scale: f64 = number.parse().map_err(|_| malformed())?;
    if !scale.is_finite() || scale <= 0.0 {
        return Err(Error(format!("the scale {number} is not a positive number")));
    }
    Ok((scale, &rest[end + 1..]))
}

/// Decodes a PNG whose sides are within [`LARGEST_SIDE`].
fn read_png(png: &[u8]) -> Result<RgbImage, Error> {
    let unreadable = |error| Error(format!("the PNG cannot be read: {error}"));
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    let mut decoder = PngDecoder::new(Cursor::new(png)).map_err(unreadable)?;
    decoder.set_limits(limits).map_err(unreadable)?;
    Ok(DynamicImage::from_decoder(decoder).map_err(unreadable)?.into_rgb8())
}

/// A side of the image to make: rounded to a whole pixel, and at least one.
fn scaled(side: u32, scale: f64) -> Result<u32, Error> {
    let scaled = (f64::from(side) * scale).round().max(1.0);
    if scaled > f64::from(LARGEST_SIDE) {
        return Err(Error(format!(
            "a side of {side} pixels times {scale} is more than {LARGEST_SIDE} pixels"
        )));
    }
    Ok(scaled as u32)
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb};

    use super::*;

    fn answer(request: &[u8]) -> Result<Vec<u8>, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<ImageResize>(request, &mut response).map_err(|error| error.0)?;
        Ok(response)
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 90]));
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn request(scale: &str, png: &[u8]) -> Vec<u8> {
        [b"scale=", scale.as_bytes(), b"\n", png].concat()
    }

    fn size_of_answer(scale: &str) -> (u32, u32) {
        let response = answer(&request(scale, &png(90, 60))).unwrap();
        let image = image::load_from_memory_with_format(&response, ImageFormat::Jpeg).unwrap();
        (image.width(), image.height())
    }

    #[test]
    fn the_sides_are_scaled() {
        assert_eq!(size_of_answer("0.5"), (45, 30));
        assert_eq!(size_of_answer("1.5"), (135, 90));
        assert_eq!(size_of_answer("2"), (180, 120));
        assert_eq!(size_of_answer("0.001"), (1, 1));
    }

    #[test]
    fn the_picture_is_kept() {
        let response = answer(&request("0.5", &png(90, 60))).unwrap();
        let image = image::load_from_memory(&response).unwrap().into_rgb8();
        // The middle of the source is (45, 30); JPEG and the filter may move it by little.
        let Rgb([red, green, blue]) = *image.get_pixel(22, 15);
        for (value, expected) in [(red, 45), (green, 30), (blue, 90)] {
            assert!(value.abs_diff(expected) < 8, "{value} instead of {expected}");
        }
    }

    #[test]
    fn a_request_without_a_scale_is_refused() {
        for request in [&b""[..], b"scale=1", b"scale=big\n", b"width=1\n", b"scale=\xff\n"] {
            let message = answer(request).unwrap_err();
            assert!(message.contains("does not begin with a line `scale=<number>`"), "{message}");
        }
    }

    #[test]
    fn a_scale_that_cannot_be_is_refused() {
        for scale in ["0", "-1", "inf", "NaN"] {
            let message = answer(&request(scale, &png(9, 9))).unwrap_err();
            assert_eq!(message, format!("the scale {scale} is not a positive number"));
        }
        let message = answer(&request("100", &png(90, 60))).unwrap_err();
        assert_eq!(message, "a side of 90 pixels times 100 is more than 4096 pixels");
    }

    #[test]
    fn an_image_that_is_none_is_refused() {
        let whole = png(90, 60);
        let mut flipped = whole.clone();
        flipped[60] ^= 0xff;
        for png in [&b""[..], b"GIF89a", &whole[..whole.len() / 2], &flipped] {
            let message = answer(&request("0.5", png)).unwrap_err();
            assert!(message.starts_with("the PNG cannot be read"), "{message}");
        }
    }

    #[test]
    fn an_image_that_is_too_large_is_refused() {
        let message = answer(&request("0.5", &png(LARGEST_SIDE + 1, 1))).unwrap_err();
        assert!(message.starts_with("the PNG cannot be read"), "{message}");
    }
}
