use super::*;

fn input(size: ImageSize, colour: Colour, channels_last: bool) -> ImageFrontEnd {
    ImageFrontEnd { size, colour, channels_last, mean: 0.0, scale: 1.0 }
}

/// Red rises to the right, green downwards, blue is 7.
fn ramp(width: u32, height: u32) -> Vec<u8> {
    (0..height).flat_map(|y| (0..width).flat_map(move |x| [(x * 2) as u8, (y * 2) as u8, 7])).collect()
}

#[test]
fn overlap_is_what_it_says() {
    let a = Rect::new(0.0, 0.0, 10.0, 10.0);
    assert_eq!(a.iou(a), 1.0);
    assert_eq!(a.iou(Rect::new(5.0, 0.0, 10.0, 10.0)), 50.0 / 150.0);
    assert_eq!(a.iou(Rect::new(10.0, 0.0, 10.0, 10.0)), 0.0);
    assert_eq!(a.enlarged(2.0), Rect::new(-5.0, -5.0, 20.0, 20.0));
    assert_eq!(a.union(Rect::new(20.0, 5.0, 1.0, 10.0)), Rect::new(0.0, 0.0, 21.0, 15.0));
    assert!(!Rect::new(f32::NAN, 0.0, 1.0, 1.0).is_proper() && !Rect::new(0.0, 0.0, 0.0, 1.0).is_proper());
}

#[test]
fn a_picture_needs_its_bytes() {
    assert!(Picture::try_new(2, 2, &[0; 12]).is_ok());
    assert!(Picture::try_new(2, 2, &[0; 11]).is_err());
    assert!(Picture::try_new(0, 2, &[]).is_err());
    assert!(Picture::try_new(u32::MAX, u32::MAX, &[0; 3]).is_err());
}

#[test]
fn a_picture_of_the_right_size_is_taken_as_it_is() {
    let pixels = ramp(64, 32);
    let picture = Picture::try_new(64, 32, &pixels).unwrap();
    let size = ImageSize::Fixed { width: 64, height: 32 };
    let (tensor, placement) = input(size, Colour::Bgr, false).fit(&picture, picture.bounds()).unwrap();
    assert_eq!(tensor.shape(), [3, 32, 64]);
    assert_eq!((tensor[[0, 9, 5]], tensor[[1, 9, 5]], tensor[[2, 9, 5]]), (7.0, 18.0, 10.0));
    let place = Rect::new(3.0, 4.0, 5.0, 6.0);
    assert_eq!(placement.rect_to_picture(place), place);

    let grey = ImageFrontEnd { mean: 127.5, scale: 127.5, ..input(size, Colour::Grey, true) };
    let (tensor, _) = grey.fit(&picture, picture.bounds()).unwrap();
    assert_eq!(tensor.shape(), [32, 64, 1]);
    let luma = 0.299 * 10.0 + 0.587 * 18.0 + 0.114 * 7.0;
    assert!((tensor[[9, 5, 0]] - (luma / 127.5 - 1.0)).abs() < 1e-6);
}

#[test]
fn a_region_keeps_its_shape_and_finds_its_way_back() {
    let pixels = ramp(100, 80);
    let picture = Picture::try_new(100, 80, &pixels).unwrap();
    let region = Rect::new(40.4, 20.6, 29.0, 19.0);
    // Whole pixels: 40 to 70 and 20 to 40, shown twice as large, to multiples of 32.
    let any = ImageSize::MultipleOf { step: 32, side: 640 };
    let (tensor, placement) = input(any, Colour::Rgb, true).fit(&picture, region).unwrap();
    assert_eq!(tensor.shape(), [64, 64, 3]);
    let back = placement.point_to_picture(Point { x: 30.0, y: 20.0 });
    assert_eq!(back, Point { x: 55.0, y: 30.0 });
    // The centre of the input's pixel (30, 20) is (55.25, 30.25), whose red is 2·(x − ½).
    assert!((tensor[[20, 30, 0]] - 109.5).abs() <= 1.0, "{}", tensor[[20, 30, 0]]);
    assert_eq!(tensor[[63, 63, 2]], 0.0, "padding is black");

    let small = ImageSize::Fixed { width: 32, height: 24 };
    let (tensor, placement) = input(small, Colour::Rgb, true).fit(&picture, picture.bounds()).unwrap();
    assert_eq!(tensor.shape(), [24, 32, 3]);
    assert_eq!((tensor[[12, 29, 2]], tensor[[12, 30, 2]]), (7.0, 0.0), "30 columns are shown");
    let back = placement.point_to_picture(Point { x: 30.0, y: 24.0 });
    assert!((back.x - 100.0).abs() < 1e-3 && back.y == 80.0, "{back:?}");
}

#[test]
fn a_region_outside_of_the_picture_is_an_error() {
    let pixels = ramp(8, 8);
    let picture = Picture::try_new(8, 8, &pixels).unwrap();
    let any = input(ImageSize::MultipleOf { step: 32, side: 64 }, Colour::Rgb, false);
    for region in [
        Rect::new(8.0, 0.0, 4.0, 4.0),
        Rect::new(0.0, -4.0, 4.0, 4.0),
        Rect::new(f32::NAN, 0.0, 1.0, 1.0),
        Rect::new(0.0, 0.0, f32::INFINITY, 1.0),
    ] {
        assert!(any.fit(&picture, region).is_err(), "{region:?}");
    }
    assert!(any.fit(&picture, Rect::new(7.5, 7.5, 900.0, 900.0)).is_ok(), "one pixel of it is inside");
}

/// A square of the picture turned by a quarter, at half the size.
#[test]
fn a_crop_follows_the_similarity() {
    let pixels = ramp(100, 80);
    let picture = Picture::try_new(100, 80, &pixels).unwrap();
    let corners = [(0.0, 0.0), (16.0, 0.0), (0.0, 16.0)].map(|(x, y)| Point { x, y });
    // To the right in the crop is downwards in the picture, twice as far.
    let places = [(60.0, 20.0), (60.0, 52.0), (28.0, 20.0)].map(|(x, y)| Point { x, y });
    let turned = Similarity::fit(&corners, &places).unwrap();
    let size = ImageSize::Fixed { width: 16, height: 16 };
    let crop = input(size, Colour::Rgb, false).crop(&picture, &turned).unwrap();
    for (x, y) in [(0usize, 0usize), (5, 9), (15, 15)] {
        let (u, v) = (x as f32 + 0.5, y as f32 + 0.5);
        let (red, green) = (2.0 * (60.0 - 2.0 * v - 0.5), 2.0 * (20.0 + 2.0 * u - 0.5));
        assert!((crop[[0, y, x]] - red).abs() < 1e-3, "{} {red}", crop[[0, y, x]]);
        assert!((crop[[1, y, x]] - green).abs() < 1e-3);
        assert!((crop[[2, y, x]] - 7.0).abs() < 1e-5);
    }
    let rows = input(size, Colour::Rgb, true).crop(&picture, &turned).unwrap();
    assert_eq!(rows.shape(), [16, 16, 3]);
    assert_eq!(rows[[9, 5, 1]], crop[[1, 9, 5]]);
}

#[test]
fn a_fine_pattern_shrinks_to_its_mean_and_an_edge_goes_on() {
    let checks: Vec<u8> =
        (0..64u32).flat_map(|y| (0..64u32).flat_map(move |x| [((x + y) % 2 * 200) as u8; 3])).collect();
    let picture = Picture::try_new(64, 64, &checks).unwrap();
    let grey = input(ImageSize::Fixed { width: 16, height: 16 }, Colour::Grey, false);
    let all = Similarity::onto_square(16.0, picture.bounds()).unwrap();
    let crop = grey.crop(&picture, &all).unwrap();
    assert!(crop.iter().all(|v| (v - 100.0).abs() < 1e-3), "{crop:?}");

    let pixels = ramp(8, 8);
    let picture = Picture::try_new(8, 8, &pixels).unwrap();
    let red = input(ImageSize::Fixed { width: 4, height: 4 }, Colour::Rgb, false);
    for (x, expected) in [(-500.0, 0.0), (500.0, 14.0)] {
        let beside = Similarity::onto_square(4.0, Rect::new(x, 2.0, 4.0, 4.0)).unwrap();
        let crop = red.crop(&picture, &beside).unwrap();
        assert!((0..4).all(|i| crop[[0, 1, i]] == expected), "{crop:?}");
    }
}

#[test]
fn inputs_out_of_range_name_their_key() {
    let good = input(ImageSize::Fixed { width: 64, height: 64 }, Colour::Grey, true);
    assert!(good.validate().is_ok());
    for (key, bad) in [
        ("size", ImageFrontEnd { size: ImageSize::Fixed { width: 0, height: 64 }, ..good }),
        ("size", ImageFrontEnd { size: ImageSize::MultipleOf { step: 32, side: 99_999 }, ..good }),
        ("mean", ImageFrontEnd { mean: f32::NAN, ..good }),
        ("scale", ImageFrontEnd { scale: 0.0, ..good }),
    ] {
        assert!(bad.validate().unwrap_err().to_string().contains(key));
    }
}
