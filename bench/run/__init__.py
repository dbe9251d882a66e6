"""Plans a sweep, schedules its work, resumes it and stores its cells."""
