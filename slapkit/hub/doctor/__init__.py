"""The checkpoint doctor: is a model whole, does it behave, do its embeddings use their space?

examine(path) -> Examination, a page of checks, each with a verdict, a figure, its limit and what to do
"""

from slapkit.hub.doctor.examination import Examination, examine
