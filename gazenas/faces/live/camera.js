// The camera: asked for, looked at, its pictures taken.

const REFUSED = {
  NotAllowedError: "The camera was refused. Allow it for this address (the sign beside the address), then try again.",
  NotFoundError: "No camera was found. Is one plugged in, and the lid open?",
  NotReadableError: "The camera cannot be read. Does another program use it?",
};
const DARK = 10; // gray levels, as the server has it

export class Camera {
  constructor(video, onGone) {
    this.video = video;
    this.onGone = onGone;
    this.turn = Promise.resolve();
    this.small = document.createElement("canvas");
    [this.small.width, this.small.height] = [32, 18];
  }

  get open() {
    return this.video.videoWidth > 0 && this.video.srcObject?.active === true;
  }

  // Opens it, or throws an Error that says what to do.
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("This browser gives pages no camera. Open the address in a newer one, on this machine.");
    }
    this.video.srcObject?.getTracks().forEach((track) => track.stop());
    const wanted = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    } catch (error) {
      throw new Error(REFUSED[error.name] ?? `The camera cannot be used: ${error.message}.`);
    }
    stream.getVideoTracks()[0].onended = () =>
      this.onGone("The camera is gone. Was the lid closed, or the camera unplugged?");
    this.video.srcObject = stream;
    await this.video.play();
  }

  // Whether it shows nothing at all, as under a closed lid or a cover.
  dark() {
    const pen = this.small.getContext("2d", { willReadFrequently: true });
    pen.drawImage(this.video, 0, 0, this.small.width, this.small.height);
    const values = pen.getImageData(0, 0, this.small.width, this.small.height).data;
    let sum = 0;
    for (let at = 0; at < values.length; at += 4) sum += values[at] + values[at + 1] + values[at + 2];
    return sum / (0.75 * values.length) < DARK;
  }

  // A JPEG file of what it shows now, at most `width` pixels wide (0: as it is), not mirrored; it stays on the canvas.
  picture(width, quality, canvas) {
    const { videoWidth, videoHeight } = this.video;
    const scale = width ? Math.min(1, width / videoWidth) : 1;
    canvas.width = Math.round(scale * videoWidth);
    canvas.height = Math.round(scale * videoHeight);
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(this.video, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
  }

  // Waits for a frame that nobody has waited for yet, but not for ever.
  next() {
    const wait = () =>
      new Promise((done) => {
        setTimeout(done, 500);
        this.video.requestVideoFrameCallback ? this.video.requestVideoFrameCallback(done) : setTimeout(done, 30);
      });
    this.turn = this.turn.then(wait);
    return this.turn;
  }
}
