import subprocess,sys
p=subprocess.run([sys.executable,'-m','ipykernel_launcher','-f','/tmp/w/m.tmp/conn.json'],capture_output=True,text=True,timeout=20)
print(p.returncode, p.stdout[-2000:], p.stderr[-3000:])
