"""protocol: the CRC-framed telemetry that firmware and host share. Knows no other room (DESIGN R2)."""
