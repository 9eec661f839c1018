"""The lessons of the Learn page, one file each; `registry` lists them.

A **lesson** has one idea and a few **steps**; at the first it asks for a guess, at a later one it **reveals**. A
**case** is what the address says: the step, the guess, the lesson's own inputs. ``fetch`` asks the service for the
facts of a case, ``tell`` turns them into a **scene**, which is everything that is shown. ``tell`` is pure, and no
result is written in a lesson: every number of a scene comes from the facts.

To add a lesson: one file with a ``LESSON``, one line in the registry.
"""
