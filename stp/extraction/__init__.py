"""From videos to stored frames, flow and warped flow: the stages of the pipeline, and `stp flow`."""
