//! `strftime_now`: the C library's strftime on local time, which is what Python calls as well.

use std::ffi::CString;

const MAX_BYTES: usize = 1024;

pub fn now(format: &str) -> Result<String, String> {
    let format = CString::new(format).map_err(|_| "strftime_now: the format holds a zero byte")?;
    if format.as_bytes().is_empty() {
        return Ok(String::new());
    }
    let mut text = [0u8; MAX_BYTES];
    // SAFETY: every pointer is to a live local, and `text` has the size that is given.
    let size = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut broken_down = std::mem::zeroed::<libc::tm>();
        if libc::localtime_r(&now, &mut broken_down).is_null() {
            return Err("strftime_now: the system has no local time".into());
        }
        libc::strftime(text.as_mut_ptr().cast(), MAX_BYTES, format.as_ptr(), &broken_down)
    };
    if size == 0 {
        return Err(format!("strftime_now: the result is empty or over {MAX_BYTES} bytes"));
    }
    Ok(String::from_utf8_lossy(&text[..size]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_bounds() {
        assert_eq!(now("%%").unwrap(), "%");
        assert_eq!(now("%Y-%m-%d").unwrap().len(), 10);
        assert!(now("%1000000d").unwrap_err().contains("1024 bytes"));
        assert_eq!(now("").unwrap(), "");
    }
}
