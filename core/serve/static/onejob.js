import { JobView } from "./job.js";

const place = document.getElementById("job");
new JobView(place, place.dataset.job);
