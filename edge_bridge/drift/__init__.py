"""Whether a device answers otherwise than it should: tests on face tracks, what they found, and why.

Pure but for `watch`, which keeps one state a device under a lock. Outside, `watch.Drift` is used with what `view` says
of it; `storage` keeps `state.DriftState`. docs/drift.md tells what is tested and how it was measured.
"""
