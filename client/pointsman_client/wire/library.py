"""What speaks HTTP: httpx2, or httpx where that is all there is."""

try:
    import httpcore2 as httpcore
    import httpx2 as httpx
except ImportError:  # whoever has the older one may keep it
    import httpcore  # type: ignore[no-redef]
    import httpx  # type: ignore[no-redef]

__all__ = ["httpcore", "httpx"]
