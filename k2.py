import sys
import debugpy
d=[p for p in sys.path]; 
import importlib.util
try:
    import debugpy.server
except LookupError as e: print(e)
print(sys.path)
try:
    import encodings.idna
except BaseException as e:
    import traceback; traceback.print_exc()
print(sys.modules.get('_pydevd_bundle'), )
