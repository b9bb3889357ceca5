// The verdict of an Amiss model on images, without Amiss. Needs ONNX Runtime and OpenCV 4 or newer:
//   g++ -std=c++17 -O2 inspect.cpp -o inspect $(pkg-config --cflags --libs opencv4) -lonnxruntime
//   ./inspect FOLDER IMAGE...      FOLDER holds model.onnx and inspector.txt; prints label, score and p-value
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <onnxruntime_cxx_api.h>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <sstream>

using Numbers = std::map<std::string, std::vector<float>>;

Numbers read(const std::filesystem::path& file) {
    Numbers numbers;
    std::ifstream lines(file);
    for (std::string line, name; std::getline(lines, line);) {
        std::istringstream words(line);
        words >> name;
        for (float number; words >> number;) numbers[name].push_back(number);
    }
    if (numbers["threshold"].empty()) throw std::runtime_error(file.string() + " cannot be read");
    return numbers;
}

cv::Mat load(const std::string& path, cv::Size size) {
    cv::Mat bgr = cv::imread(path, cv::IMREAD_COLOR), rgb, small, fitted;
    if (bgr.empty()) throw std::runtime_error("cannot be read");
    cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
    cv::resize(rgb, small, {std::min(rgb.cols, size.width), std::min(rgb.rows, size.height)}, 0, 0, cv::INTER_AREA);
    cv::resize(small, fitted, size, 0, 0, cv::INTER_LINEAR);  // copies what has the size already
    return fitted;
}

int main(int count, char** words) try {
    const std::filesystem::path folder = words[1];
    Numbers numbers = read(folder / "inspector.txt");
    const int height = int(numbers["height"][0]), width = int(numbers["width"][0]);
    const bool has_map = numbers["map"][0] != 0;
    const float threshold = numbers["threshold"][0], lowest = numbers["review_threshold"][0];
    cv::Mat inside = cv::imread((folder / "inside.png").string(), cv::IMREAD_GRAYSCALE);
    if (inside.empty()) inside = cv::Mat(height, width, CV_8U, cv::Scalar(255));
    Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "amiss");
    Ort::Session session(env, (folder / "model.onnx").c_str(), Ort::SessionOptions{});
    const char *input = "pixels", *output = has_map ? "map" : "image";
    for (int number = 2; number < count; number++) try {
        cv::Mat image = load(words[number], {width, height});
        const int64_t shape[] = {1, height, width, 3};
        auto tensor = Ort::Value::CreateTensor<uint8_t>(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault),
                                                        image.data, image.total() * 3, shape, 4);
        auto found = session.Run(Ort::RunOptions{}, &input, &tensor, 1, &output, 1);
        double score = *found[0].GetTensorData<float>(), peak = score;
        if (has_map) {
            cv::Mat map(height, width, CV_32F, found[0].GetTensorMutableData<float>()), regions, sizes, centres;
            cv::minMaxLoc(map, nullptr, &score, nullptr, nullptr, inside);
            int total = cv::connectedComponentsWithStats((map > lowest) & inside, regions, sizes, centres, 8);
            peak = -INFINITY;
            for (int region = 1; region < total; region++) {
                double most;
                cv::minMaxLoc(map, nullptr, &most, nullptr, nullptr, regions == region);
                if (sizes.at<int>(region, cv::CC_STAT_AREA) >= numbers["min_area"][0]) peak = std::max(peak, most);
            }
        }
        const auto& normal = numbers["normal"];
        auto place = std::lower_bound(normal.begin(), normal.end(), float(score)) - normal.begin();
        std::cout << (peak > threshold ? "anomalous" : peak > lowest ? "review" : "good") << " " << score << " "
                  << (normal.empty() ? NAN : numbers["p_values"][place]) << " " << words[number] << std::endl;
    } catch (const std::exception& error) {  // never good
        std::cout << "error " << error.what() << " " << words[number] << std::endl;
    }
} catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
}
