// Times stand in the page in UTC; whoever reads them has a clock of their own. The tooltip keeps UTC.
{
  const clock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const localise = () => {
    for (const time of document.querySelectorAll("time[datetime]")) time.textContent = clock.format(new Date(time.dateTime));
  };
  localise();
  // The live page brings them in UTC again.
  document.addEventListener("live", localise);
}
