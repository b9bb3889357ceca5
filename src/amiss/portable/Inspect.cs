// The verdict of an Amiss model on images, without Amiss. .NET 8 or newer:
//   dotnet new console -o inspect; cp Inspect.cs inspect/Program.cs; cd inspect
//   dotnet add package Microsoft.ML.OnnxRuntime; dotnet add package OpenCvSharp4; and OpenCvSharp4.runtime.*
//   dotnet run -- FOLDER IMAGE...      FOLDER holds model.onnx and inspector.txt; prints label, score and p-value
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using OpenCvSharp;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
string folder = args[0];
var numbers = File.ReadLines(Path.Combine(folder, "inspector.txt"))
    .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
    .ToDictionary(words => words[0], words => words.Skip(1).Select(float.Parse).ToArray());
int height = (int)numbers["height"][0], width = (int)numbers["width"][0];
bool hasMap = numbers["map"][0] != 0;
float threshold = numbers["threshold"][0], lowest = numbers["review_threshold"][0];
string mask = Path.Combine(folder, "inside.png");
using var inside = File.Exists(mask) ? Cv2.ImRead(mask, ImreadModes.Grayscale) : new Mat(height, width, MatType.CV_8U, 255);
using var session = new InferenceSession(Path.Combine(folder, "model.onnx"));

Mat Load(string path)
{
    using var bgr = Cv2.ImRead(path, ImreadModes.Color);
    if (bgr.Empty()) throw new IOException("cannot be read");
    using Mat rgb = new(), small = new();
    Mat fitted = new();
    Cv2.CvtColor(bgr, rgb, ColorConversionCodes.BGR2RGB);
    var least = new Size(Math.Min(rgb.Cols, width), Math.Min(rgb.Rows, height));
    Cv2.Resize(rgb, small, least, 0, 0, InterpolationFlags.Area);
    Cv2.Resize(small, fitted, new Size(width, height), 0, 0, InterpolationFlags.Linear);
    return fitted;
}

string Judge(string path)
{
    using var image = Load(path);
    var pixels = new byte[height * width * 3];
    Marshal.Copy(image.Data, pixels, 0, pixels.Length);
    using var tensor = OrtValue.CreateTensorValueFromMemory(pixels, new long[] { 1, height, width, 3 });
    using var options = new RunOptions();
    using var found = session.Run(options, new[] { "pixels" }, new[] { tensor }, new[] { hasMap ? "map" : "image" });
    float[] scores = found[0].GetTensorDataAsSpan<float>().ToArray();
    double score = scores[0], peak = score;
    if (hasMap)
    {
        using var map = Mat.FromPixelData(height, width, MatType.CV_32F, scores);
        using var high = new Mat();
        Cv2.MinMaxLoc(map, out _, out score, out _, out _, inside);
        Cv2.Compare(map, new Scalar(lowest), high, CmpType.GT);
        Cv2.BitwiseAnd(high, inside, high);
        using Mat regions = new(), sizes = new(), centres = new(), own = new();
        int total = Cv2.ConnectedComponentsWithStats(high, regions, sizes, centres, PixelConnectivity.Connectivity8);
        peak = double.NegativeInfinity;
        for (int region = 1; region < total; region++)
        {
            Cv2.Compare(regions, new Scalar(region), own, CmpType.EQ);
            Cv2.MinMaxLoc(map, out _, out double most, out _, out _, own);
            if (sizes.At<int>(region, 4) >= numbers["min_area"][0]) peak = Math.Max(peak, most);  // 4: the area
        }
    }
    int place = numbers["normal"].Count(normal => normal < (float)score);
    string label = peak > threshold ? "anomalous" : peak > lowest ? "review" : "good";
    return $"{label} {score} {(numbers["normal"].Length == 0 ? double.NaN : numbers["p_values"][place])} {path}";
}

foreach (string path in args.Skip(1))
    try { Console.WriteLine(Judge(path)); }
    catch (Exception error) { Console.WriteLine($"error {error.Message} {path}"); }  // never good
