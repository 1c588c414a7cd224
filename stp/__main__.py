from stp.cli import main

main()
