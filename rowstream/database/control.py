"""Where the gateway tells the others that something is asked of an upload: a NOTIFY with the upload's id.

It only wakes; what is asked stands in `upload_control`, which is also looked at now and then.
"""

CHANNEL = "rowstream_control"
