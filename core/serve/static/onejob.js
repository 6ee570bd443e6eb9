import { formula } from "./app.js";
import { JobView } from "./job.js";

const place = document.getElementById("job"), head = document.querySelector("h1");
const [kind, ...rest] = head.textContent.trim().split(" ");
if (kind === "Predict" || kind === "Solve") head.replaceChildren(`${kind} `, formula(rest.join(" ")));
new JobView(place, place.dataset.job);
